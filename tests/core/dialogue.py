"""A story with a master in it: the person talks, the master asks for its input and reports its steps."""

from __future__ import annotations

from typing import Any

from play import Play

from jupyter_orchestra.core import events as e
from jupyter_orchestra.core.model import Anchor, Delivery, Kind, Origin, Spec, Stage
from jupyter_orchestra.core.talk import Turn, TurnState
from jupyter_orchestra.core.views import view

AGENT = Kind("agent", 20, steerable=True, cooperative=True, agent=True, resumable=True)
CREW = (Kind("kernel", 40), Kind("shell", 4), Kind("loop", 2, pausable=False, cooperative=True), AGENT)


class Dialogue(Play):
    def __init__(self, *kinds: Kind, **more: Any) -> None:
        super().__init__(*(kinds or CREW), **more)
        self.given = e.GiveInput(0, 0, (), ())

    @property
    def talk(self) -> Any:
        return self.machine.state.talk

    @property
    def turns(self) -> list[Turn]:
        return self.machine.state.talk.turns

    @property
    def turn(self) -> Turn:
        """The newest turn."""
        return self.turns[-1]

    @property
    def begun(self) -> list[int]:
        """Turns that the last event let begin."""
        return [wish.turn for wish in self.all(e.BeginTurn)]

    @staticmethod
    def spec(name: str, worker: str = "kernel", uid: str = "", deliver: str = "turn", **more: Any) -> Spec:
        return Play.spec(name, worker, uid, deliver=Delivery(deliver), **more)

    def stage(self, name: str) -> Stage | None:
        return view(self.task(name)).stage

    # the person

    def say(self, text: str = "hello", uid: str = "", cell: str = "", **more: Any) -> list[e.Command]:
        anchor = Anchor("nb.ipynb", cell) if cell else None
        return self.send(e.MessageSent(self.now, "r", uid=uid or text, text=text, anchor=anchor, **more))

    def type(self, on: bool = True, page: str = "page") -> list[e.Command]:
        return self.send(e.ComposingChanged(self.now, page, on))

    def stop(self) -> list[e.Command]:
        return self.send(e.StopTurnAsked(self.now, "r"))

    def retry_turn(self) -> list[e.Command]:
        return self.send(e.RetryTurnAsked(self.now, "r"))

    def approve(self, name: str, **more: Any) -> list[e.Command]:
        return self.send(e.ApproveAsked(self.now, "r", target=name, **more))

    def decline(self, name: str, **more: Any) -> list[e.Command]:
        return self.send(e.DeclineAsked(self.now, "r", target=name, **more))

    # the master

    def ask(self, literal: bool = False, turn: int = 0) -> e.GiveInput | None:
        """The master asks what goes with its next request; None: its turn is over, or to be stopped."""
        number = turn or self.turn.number
        self.send(e.StepAsked(self.now, number, self.turns[number - 1].step + 1, literal))
        told = [w for w in self.out if isinstance(w, e.GiveInput | e.EndTurn | e.StopTurn) and w.turn == number]
        assert len(told) == 1, self.out
        if not isinstance(told[0], e.GiveInput):
            return None
        self.given = told[0]
        return self.given

    def done(self, text: str = "so it is", calls: int = 0, items: tuple[str, ...] = ()) -> list[e.Command]:
        """The request with what was last given succeeds."""
        given = self.given
        items = items or tuple(f'"{given.turn}.{given.step} {part}"' for part in ("in", "out"))
        return self.send(
            e.StepDone(
                self.now, turn=given.turn, step=given.step, items=items, messages=given.messages,
                results=given.results, text=text, calls=calls,
            )
        )  # fmt: skip

    def step(self, text: str = "so it is", calls: int = 0, literal: bool = False) -> e.GiveInput:
        """The next step: asked for, and well done."""
        given = self.ask(literal)
        assert given is not None
        self.done(text, calls)
        return given

    def answered(self, *lines: str, read: bool = False) -> list[e.Command]:
        turn = self.turn
        return self.send(e.CallsAnswered(self.now, turn.number, turn.step, ('"answers"',), lines, read))

    def fail_turn(self, message: str = "no answer") -> list[e.Command]:
        return self.send(e.TurnFailed(self.now, self.turn.number, message))

    def leave_off(self, text: str = "") -> list[e.Command]:
        return self.send(e.TurnStopped(self.now, self.turn.number, text, ('"as far as it came"',)))

    def order(self, *specs: Spec | str, **more: Any) -> e.Answer:
        """The master dispatches."""
        made = tuple(self.spec(s, origin=Origin.MASTER, **more) if isinstance(s, str) else s for s in specs)
        self.send(e.TasksDispatched(self.now, "r", tasks=made, turn=self.turn.number))
        return self.answer()

    # scenes

    def chat(self, text: str = "good morning") -> None:
        """One message and its reply, so that the conversation has begun."""
        self.say(text)
        self.step()
        assert self.turn.state is TurnState.DONE

    def bring(self, name: str, **more: Any) -> None:
        """A task that is dispatched and ends well at once."""
        self.dispatch(name, **more)
        self.finish(name)

    def taint(self) -> None:
        """The master is in a turn that a result has entered, and in the midst of a step's calls."""
        self.chat()
        self.bring("news", deliver="now")
        self.step(calls=1)
        assert self.turn.tainted


def wish_of(play: Dialogue, kind: type[e.Asked], *names: str, **more: object) -> list[e.Command]:
    """What the master's turn wants of these tasks."""
    targets = {"target": names[0]} if kind is e.SteerAsked else {"targets": names}
    return play.send(kind(play.now, "r", turn=play.turn.number, **targets, **more))  # type: ignore[call-arg]
