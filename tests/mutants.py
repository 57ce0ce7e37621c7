"""Faults put into the core by hand, and into what stands behind it, each of which the tests must find.

Run by ``make test`` as ``python tests/mutants.py``. With ``--properties`` only the property tests hunt, which tells how
sharp they are by themselves. A fault that no test finds, and a snippet that is not found exactly once, are failures.

Long since it is a list: each fault in full, beside its name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARALLEL = 2
SECONDS = 240  # for one mutant; one that hangs is found, too


# The tests that know a module best: they go first, since most of its faults end there.
PROPERTIES = tuple(f"tests/core/test_{name}_properties.py" for name in ("machine", "budget", "grants"))
SIMULATIONS = tuple(f"tests/core/test_{name}_simulation.py" for name in ("conversation", "leases", "offers"))
LEASES = ("tests/core/test_leases.py", "tests/core/test_leases_simulation.py")
NEAREST = {
    **dict.fromkeys(("controller.py", "preemption.py"), ("tests/core/test_controller.py",)),
    **dict.fromkeys(("leases.py", "queues.py", "waiting.py", "stock.py"), LEASES),
    **dict.fromkeys(("budget.py", "spending.py"), ("tests/core/test_budget.py",)),
    "grants.py": ("tests/core/test_grants.py",),
    "conversation.py": ("tests/core/test_conversation.py", "tests/core/test_conversation_turns.py"),
    "offers.py": ("tests/core/test_offers.py",),
    "machine.py": tuple(f"tests/core/test_{name}.py" for name in ("transitions", "stopping", "slots_and_time")),
}
BEHIND = {  # files outside of the core, and the tests that hunt in them
    "journal/schema.py": ("tests/journal/test_accounts.py",),
    "journal/writer.py": ("tests/journal/test_accounts.py",),
    "resources/allowance.py": ("tests/resources/test_allowance.py",),
    "lending.py": ("tests/testing/test_leases_before_the_keeper.py",),
    "runtime.py": ("tests/testing/test_runtime_in_a_scripted_world.py",),
}


@dataclass(frozen=True)
class Mutant:
    """A fault: `old` stands once in `file`, of the core or one of those behind it, and becomes `new`."""

    name: str
    old: str
    new: str
    file: str = "machine.py"


MUTANTS = (
    Mutant(
        "slots are not freed when a task finishes",
        "    def _on_task_finished(self, event: e.TaskFinished) -> None:\n"
        "        self._release(event.uid, event.attempt)\n",
        "    def _on_task_finished(self, event: e.TaskFinished) -> None:\n",
    ),
    Mutant(
        "slots are freed when the stop is asked for, not when it is confirmed",
        "            task.stopping = True\n        if runs and",
        "            task.stopping = True\n            self._release(task.uid, task.attempt)\n        if runs and",
    ),
    Mutant(
        "slots are not freed when an attempt is blocked",
        "        self._release(event.uid, event.attempt)\n        task = self._current(event)\n"
        "        if task is not None and task.stopping:\n",
        "        task = self._current(event)\n        if task is not None and task.stopping:\n",
    ),
    Mutant("slots are ignored", "            if self._has_slots(waiter):\n", "            if True:\n", "leases.py"),
    Mutant(
        "one slot too many",
        "all(self._slots[name] + count <= self._capacity(name)",
        "all(self._slots[name] + count <= self._capacity(name) + 1",
        "queues.py",
    ),
    Mutant(
        "a tier has no slots",
        '(task.spec.worker, f"tier:{task.spec.tier}") if task.spec.tier else (task.spec.worker,)',
        "(task.spec.worker,)",
        "controller.py",
    ),
    Mutant("ageing is off", "self.since / AGEING - self.priority", "-self.priority", "waiting.py"),
    Mutant("the priority is reversed", "/ AGEING - self.priority", "/ AGEING + self.priority", "waiting.py"),
    Mutant(
        "overdraft: nothing refuses a reservation",
        "        if why := self.refusal(account, amounts):\n            return why\n        self.state.held",
        "        self.state.held",
        "budget.py",
    ),
    Mutant(
        "what is above a task is not asked",
        "            todo += [parent for parent in found.parents if parent not in todo]\n",
        "",
        "budget.py",
    ),
    Mutant(
        "an account that has changed is not told",
        "            found.reserved += amounts\n            self._changed[name] = None\n",
        "            found.reserved += amounts\n",
        "budget.py",
    ),
    Mutant(
        "running time is not told",
        "        self._changed[name] = None\n        millis",
        "        millis",
        "budget.py",
    ),
    Mutant(
        "an account that was overdrawn by mistake stays so",
        "            if account.overdrawn:\n                _fit(account)\n",
        "",
        "budget.py",
    ),
    Mutant(
        "nothing stands behind the budgets",
        "CHECK(most IS NULL OR reserved + spent <= most)",
        "CHECK(most IS NULL OR reserved <= most)",
        "journal/schema.py",
    ),
    Mutant(
        "an overdraft is only a disk that takes nothing now",
        "        self._settle(batch, position, time.monotonic())\n        self._fail(error)\n",
        "        self._settle(batch, position, time.monotonic())\n",
        "journal/writer.py",
    ),
    Mutant(
        "an overdraft takes the facts with it",
        "position = self._write(self._connected(), batch, views=False)",
        "raise error",
        "journal/writer.py",
    ),
    Mutant(
        "what is to be spent is not durable before it is",
        "AT_ONCE = (e.TasksDispatched,",
        "AT_ONCE = (e.ReserveAsked, e.TasksDispatched,",
        "runtime.py",
    ),
    Mutant(
        "two notebooks look before either writes",
        'connection.execute("BEGIN IMMEDIATE")',
        'connection.execute("BEGIN DEFERRED")',
        "resources/allowance.py",
    ),
    Mutant(
        "what a dead notebook had reserved stays so for ever",
        "if held.holder != self._holder and not _lives(held.holder):",
        "if False:",
        "resources/allowance.py",
    ),
    Mutant(
        "what a dead notebook had reserved is free again",
        "not _lives(held.holder):\n                budget.settle(id)\n",
        "not _lives(held.holder):\n                budget.settle(id, Amounts())\n",
        "resources/allowance.py",
    ),
    Mutant(
        "what a living notebook has reserved is taken for spent",
        "return world == identity.world() and identity.read(process).alive",
        "return False",
        "resources/allowance.py",
    ),
    Mutant(
        "a day is never over",
        'day = f"user:{self._day()}"',
        'day = next(iter(budget.state.accounts), f"user:{self._day()}")',
        "resources/allowance.py",
    ),
    Mutant(
        "a request that is cut off keeps what was reserved",
        "            self.settle(id, Amounts())\n            raise\n",
        "            raise\n",
        "resources/allowance.py",
    ),
    Mutant(
        "what was under way when the kernel died is forgotten",
        "        for id in self.budget.unsettled():\n            self.budget.settle(id)\n        for tier",
        "        for tier",
        "spending.py",
    ),
    Mutant("paused time counts", "            self.spending.rests(task, now)\n", "            pass\n"),
    Mutant(
        "what was just granted is taken again at once",
        "yield task, max(lease.granted_at + HOLD, passed)",
        "yield task, passed",
        "preemption.py",
    ),
    Mutant(
        "a task gives way again and again",
        " or task.preempted >= TAKEN:",
        ":",
        "preemption.py",
    ),
    Mutant(
        "an equal takes from an equal",
        "max(0, task.spec.priority + 1 - request.priority)",
        "0",
        "preemption.py",
    ),
    Mutant(
        "a pause drops what a worker waits for",
        "for request in (id, *self._regained(task)):",
        "for request in self._requests(task):",
        "controller.py",
    ),
    Mutant(
        "after a pause nobody says that a worker still waits for a lease",
        "            self.controller.look_at(task, now)\n",
        "",
    ),
    Mutant(
        "a lease that is refused leaves its trace in the story",
        "        self._grant(event.at)\n",
        "        self.grant(event.at)\n",
        "controller.py",
    ),
    Mutant(
        "who lost a lease to a more urgent one is said to wait for slots",
        "                if id not in line.open:\n",
        "                if False:\n",
        "leases.py",
    ),
    Mutant(
        "what was given up is not waited for in a machine that is restored",
        "                self._ask_back(id, self._tasks[uid])\n",
        "                pass\n",
        "controller.py",
    ),
    Mutant(
        "what waits no longer is asked of the clock for ever",
        '        """It may be tried again."""\n        self.state.barred.pop(id, None)\n',
        '        """It may be tried again."""\n',
        "leases.py",
    ),
    Mutant("what has a name is a unit", 'return "/" in busy and "|" not in busy', 'return "/" in busy', "leases.py"),
    Mutant(
        "where nobody keeps leases a task waits for ever",
        "            return e.LeaseClaimed(now, wish.lease.id, claim=wish.claim)\n",
        "            return None\n",
        "lending.py",
    ),
    Mutant(
        "who waits no longer stays in the line of the machine",
        '            self._out.append(e.FreeLease(Lease(id, "", ()), why))\n',
        "            pass\n",
        "controller.py",
    ),
    Mutant(
        "an answer to an earlier claim counts",
        " and claim in (0, lease.token) else None",
        " else None",
        "controller.py",
    ),
    Mutant(
        "leases of a dead kernel's worker stay",
        "return lease.id == lease_id(task, task.attempt) or self._kind_of(task).adoptable",
        "return True",
        "controller.py",
    ),
    Mutant(
        "expiry frees",
        '        for lease in over:\n            lease.state = "fencing"\n',
        "        for lease in over:\n            self.release(lease.id)\n",
        "leases.py",
    ),
    Mutant(
        "an expired lease is renewed",
        'lease.state == "held" and lease.expires is not None:\n                lease.expires = now + TTL',
        "lease.expires is not None:\n                lease.expires, lease.state = now + TTL, 'held'",
        "leases.py",
    ),
    Mutant("the token is not checked", " and lease.token == token", "", "leases.py"),
    Mutant(
        "an expired lease is valid",
        'lease is not None and lease.state == "held" and lease.token == token',
        "lease is not None and lease.token == token",
        "leases.py",
    ),
    Mutant("tokens do not rise", "        self.state.token += 1\n", "", "leases.py"),
    Mutant(
        "leases are not renewed", "                lease.expires = now + TTL\n", "                pass\n", "leases.py"
    ),
    Mutant(
        "overtaking: who comes first is not asked",
        "            elif not spare.keep(self._wants[uid]):\n                return\n",
        "",
        "waiting.py",
    ),
    Mutant(
        "overtaking on paths",
        "return not any(self._paths.before(need, waiter.place, id) for need in waiter.paths)",
        "return not any(self._paths.before(need, (-float('inf'), 0.0), id) for need in waiter.paths)",
        "queues.py",
    ),
    Mutant(
        "a partial grant: what is missing is left out",
        "any(id not in self._lines[name].open for name in waiter.wants)",
        "(waiter.wants and all(id not in self._lines[name].open for name in waiter.wants))",
        "queues.py",
    ),
    Mutant(
        "a barred request is granted",
        "        if waiter.request.barred or any(",
        "        if any(",
        "queues.py",
    ),
    Mutant(
        "a unit is handed out twice",
        "        if unit in self.units or unit in self.busy:\n            return False\n",
        "        if unit in self.busy:\n            return False\n",
        "stock.py",
    ),
    Mutant(
        "a busy unit is handed out",
        "        if unit in self.units or unit in self.busy:\n            return False\n",
        "        if unit in self.units:\n            return False\n",
        "stock.py",
    ),
    Mutant(
        "the capacity is ignored",
        "if self.used + need.amount > self.capacity or self.writers",
        "if self.writers",
        "stock.py",
    ),
    Mutant(
        "two writers of one path",
        'for mode in ("w",) if need.mode == "r" else ("r", "w"):',
        'for mode in ("w",) if need.mode == "r" else ("r",):',
        "waiting.py",
    ),
    Mutant(
        "a reader does not see a writer",
        'for mode in ("w",) if need.mode == "r" else ("r", "w"):',
        'for mode in () if need.mode == "r" else ("r", "w"):',
        "waiting.py",
    ),
    Mutant(
        "what was given back is not looked at again",
        "                self._stock(need.resource).drop((need,))\n                self._look(need.resource)\n",
        "                self._stock(need.resource).drop((need,))\n",
        "leases.py",
    ),
    Mutant(
        "a cancelled request stays in line",
        "        for name in waiter.wants:\n            self._lines[name].remove(waiter)\n",
        "",
        "leases.py",
    ),
    Mutant(
        "who holds something may wait for anything",
        "return not holder or self._rank(holder) < min(",
        "return True or self._rank(holder) < min(",
        "leases.py",
    ),
    Mutant(
        "an extension is had though another has it",
        "        if not self._is_ready(waiter) or not self._has_slots(waiter):\n",
        "        if not self._has_slots(waiter):\n",
        "leases.py",
    ),
    Mutant(
        "leases go back when the stop is asked for",
        "            self.controller.leave(current)\n",
        "            self.controller.release(current.uid, current.attempt)\n",
    ),
    Mutant(
        "a report of an older attempt is accepted",
        "        if task is None or task.attempt != event.attempt:\n            return None\n",
        "        if task is None:\n            return None\n",
    ),
    Mutant(
        "a task starts while its older attempt lives",
        "        if task.uid not in self.state.holds:  # else",
        "        if True:  # else",
    ),
    Mutant("a retry keeps the number of its attempt", "        task.attempt += 1\n        task.counted = True\n", ""),
    Mutant(
        "what comes after a failed task is not cancelled",
        "                if verdict := self._verdict(dependent):\n                    todo.append",
        "                if False and (verdict := self._verdict(dependent)):\n                    todo.append",
    ),
    Mutant("when=failure is taken for always", "if task.spec.when is When.FAILURE and before and", "if not before and"),
    Mutant(
        "a task after several begins when one of them has ended",
        "not task.proposed and all(other.ended for other in before)",
        "not task.proposed and (not before or any(other.ended for other in before))",
    ),
    Mutant(
        "a task does not wait for its snapshot",
        "elif not task.snapshot and not task.proposed and all(",
        "elif not task.proposed and all(",
    ),
    Mutant(
        "a pause forgets the deadline",
        "                task.remaining, task.deadline = max(0.0, task.deadline - now), None\n",
        "                task.deadline = None\n",
    ),
    Mutant(
        "paused time counts",
        "self._arm(task, now + task.remaining)",
        "self._arm(task, (task.started_at or now) + (task.spec.timeout or 0.0))",
    ),
    Mutant(
        "a late result overwrites a cancel",
        "            task.result = event.result\n\n    # moves",
        "            task.result = event.result\n            task.state = S.DONE\n\n    # moves",
    ),
    Mutant(
        "a late result is not kept",
        "task.state is S.CANCELLED and task.result is None:\n",
        "task.state is S.CANCELLED and False:\n",
    ),
    Mutant(
        "a cooperative task is called cancelled before it has stopped",
        "        if runs and cooperative:\n",
        "        if False:\n",
    ),
    Mutant(
        "a stopped task that came to its end is done",
        "        if task.stopping:  # asked to stop, and yet it came to its end: the stop stays\n",
        "        if False:\n",
    ),
    Mutant(
        "a refused pause has paused half of them",
        '                raise Refusal(f"task {task.name!r} is paused already',
        "                task.line = 'x'\n                raise Refusal(f\"task {task.name!r} is paused already",
    ),
    Mutant(
        "a refused batch has been begun",
        "        names, stems = naming.choose_names(event.tasks, self.find, state.stems)\n",
        "        names, stems = naming.choose_names(event.tasks, self.find, state.stems)\n"
        "        state.dispatched += 1\n",
    ),
    Mutant(
        "a lost task is silently run again",
        '                self._end(task, S.LOST, event.at, "the kernel died while it ran")\n',
        '                self._end(task, S.LOST, event.at, "the kernel died while it ran")\n'
        "                self._again(task, event.at, 'rerun')\n                self._settle(task, event.at)\n",
    ),
    Mutant(
        "a result is delivered twice",
        "            self._out.append(e.Deliver(task.uid, task.attempt))\n",
        "            self._out += [e.Deliver(task.uid, task.attempt)] * 2\n",
    ),
    Mutant(
        "what was not shown is not delivered again after a restart",
        "        self._out += [e.Deliver(task.uid, task.attempt) for task in pending]\n",
        "        del pending\n",
    ),
    Mutant(
        "a retry revives nothing",
        "revived = list(self._revivable(tasks))",
        "revived = list(self._revivable([]))",
    ),
    Mutant(
        "cycles are not seen", "    _refuse_cycle(after, {uid: name for name, uid in fresh.items()})\n", "", "naming.py"
    ),
    Mutant(
        "the name of a live task is given away",
        "        if holder is not None and not holder.ended and not spec.replace:\n",
        "        if False:\n",
        "naming.py",
    ),
    Mutant(
        "something starts while the journal is blocked",
        "        if self._blocked():\n            return\n",
        "",
        "controller.py",
    ),
    Mutant(
        "a blocked attempt is never tried again",
        "        heappush(self._due, (event.at + BLOCKED_RETRY, task.uid))\n",
        "",
    ),
    Mutant("a time-out is tried again for ever", "        task.retries_left -= 1\n", ""),
    Mutant(
        "a restored machine forgets who holds slots",
        "        for lease in self.state.leases.values():\n            self._put(lease)\n",
        "",
        "leases.py",
    ),
    Mutant(
        "a restored machine forgets deadlines",
        "            if task.deadline is not None:\n                heappush(self._due, (task.deadline, task.uid))\n",
        "",
    ),
    Mutant(
        "a removed task is taken from the queue",
        "        if (waiter := self._waiting.pop(id, None)) is not None:\n",
        "        if (waiter := self._waiting.get(id)) is None:\n",
        "leases.py",
    ),
    Mutant(
        "a proposed task begins unasked",
        "elif not task.snapshot and not task.proposed and all(",
        "elif not task.snapshot and all(",
    ),
    Mutant(
        "a turn that a result has entered acts by itself",
        "self.conversation.dispatcher(event.turn).tainted",
        "True",
    ),
    Mutant(
        "a dispatch is never a proposal", "        return turn.tainted\n", "        return False\n", "conversation.py"
    ),
    Mutant("any digest approves", 'if digest in ("", ask.digest)), None)', "if ask.action), None)", "questions.py"),
    Mutant(
        "an agent is started anew after a restart of the kernel",
        "        return kind.resumable or (outlives(kind, task.spec) and task.process is not None)\n",
        "        return False\n",
    ),
    Mutant(
        "a task whose server died with the kernel goes on without it",
        "    return kind.adoptable and not any(",
        "    return kind.adoptable or any(",
        "controller.py",
    ),
    Mutant(
        "what was to go on when the kernel died stands still for ever",
        "            if self._kind(task).adoptable:  # the",
        "            if False:  # the",
    ),
    Mutant(
        "a task that has no process yet is taken over",
        "(outlives(kind, task.spec) and task.process is not None)",
        "outlives(kind, task.spec)",
    ),
    Mutant(
        "a proposal that comes back with a retry of another begins unasked",
        "            task.asks = [questions.may_start(task.spec, task.name)]\n",
        "            task.proposed = False\n",
    ),
    Mutant(
        "a result enters with the request, not with its success",
        "        self._out.append(e.GiveInput(turn.number, turn.step + 1, tuple(fresh), tuple(results)))\n",
        "        self._out.append(e.GiveInput(turn.number, turn.step + 1, tuple(fresh), tuple(results)))\n"
        "        self.talk.arrivals = {k: a for k, a in self.talk.arrivals.items() if a.key not in results}\n",
        "conversation.py",
    ),
    Mutant(
        "a result stays an arrival when it has entered",
        "            del self.talk.arrivals[uid]\n",
        "",
        "conversation.py",
    ),
    Mutant(
        "a cohort is not waited for",
        "if not cohort or now >= since + COHORT_HOLD or",
        "if True or",
        "conversation.py",
    ),
    Mutant(
        "a cohort that is complete waits for the end of its hold",
        " or all(task.ended for task in self._cohort(cohort))",
        "",
        "conversation.py",
    ),
    Mutant(
        "nobody who types is waited for",
        "            if not talk.composing or",
        "            if True or",
        "conversation.py",
    ),
    Mutant(
        "a failed turn is followed by wakes",
        "self.talk.started and not failed and",
        "self.talk.started and",
        "conversation.py",
    ),
    Mutant(
        "a failed turn loses its message",
        "        self.talk.messages = [*returned, *self.talk.messages]\n",
        "",
        "conversation.py",
    ),
    Mutant(
        "a wake that was stopped begins again by itself",
        "msgspec.structs.replace(arrival, deliver=Delivery.TURN)",
        "arrival",
        "conversation.py",
    ),
    Mutant(
        "a superseded result still enters",
        '        """A result is superseded, or its task forgotten."""\n        self.talk.arrivals.pop(uid, None)\n',
        '        """A result is superseded, or its task forgotten."""\n',
        "conversation.py",
    ),
    Mutant(
        "a turn that was cut off does not go on",
        "                self._out.append(e.BeginTurn(turn.number))\n",
        "                pass\n",
        "conversation.py",
    ),
    Mutant(
        "whoever never talked to a model gets wakes",
        "return self.talk.started and not failed",
        "return not failed",
        "conversation.py",
    ),
    Mutant(
        "a page that may hold a result is not heard before another one gets it",
        "        if not item.suspects <= item.claims.keys():\n            return False\n",
        "",
        "offers.py",
    ),
    Mutant("an answer to an older offer counts", " and round in (0, item.round)", "", "offers.py"),
    Mutant(
        "a page of another notebook gets a result",
        "client for client, anchored in item.claims.items() if anchored or self._is_home(self._pages[client], item)",
        "client for client in item.claims",
        "offers.py",
    ),
    Mutant(
        "a result whose ack is lost is never offered again",
        "            self._offer(item, now)\n\n    def _set_due",
        "            pass\n\n    def _set_due",
        "offers.py",
    ),
    Mutant("better pages are not waited for", "if now < item.since + patience and", "if False and", "offers.py"),
    Mutant(
        "results of one cell overtake each other",
        "and not self._decide(item, now):\n                return",
        "and not self._decide(item, now):\n                continue",
        "offers.py",
    ),
    Mutant(
        "a child has more than its parent",
        "any(grant.covers(capability, consent, now) for grant in self._row(one)) for one in self._line(uid))",
        "any(grant.covers(capability, consent, now) for grant in self._row(one)) for one in [uid])",
        "grants.py",
    ),
    Mutant(
        "what is above and is no more narrows nothing",
        "while uid and uid not in found:",
        "while uid in self._tasks and uid not in found:",
        "grants.py",
    ),
    Mutant(
        "a grant does not expire",
        "return self.until is not None and now >= self.until",
        "return False",
        "grants.py",
    ),
    Mutant(
        "any digest is allowed",
        'same_action = self.digest in ("", consent.digest)',
        "same_action = True",
        "grants.py",
    ),
    Mutant(
        "a yes to one question is a yes to each",
        "same_question = self.ask is None or self.ask == consent.ask",
        "same_question = True",
        "grants.py",
    ),
    Mutant(
        "what a role may do answers its question",
        "any(grant.digest and grant.covers(capability, consent, now) for grant in self._row(uid))",
        "any(grant.covers(capability, consent, now) for grant in self._row(uid))",
        "grants.py",
    ),
    Mutant("grants survive the end of the task", "            self.grants.end(current.uid)\n", ""),
    Mutant("grants survive an attempt that failed", "        self.grants.renew(task.uid)\n", ""),
    Mutant(
        "an attempt that failed gets back what was taken",
        "        self.grants.renew(task.uid)\n",
        "        self.grants.admit(task)\n",
    ),
    Mutant(
        "what a role may not is asked all the same",
        "        elif why := self.grants.refusal(task.uid, ask, event.at):\n            self._out",
        '        elif why := "":\n            self._out',
    ),
    Mutant(
        "a yes counts although what is above has ended",
        "        elif why := self.grants.refusal(task.uid, ask, event.at):\n            raise",
        '        elif why := "":\n            raise',
    ),
    Mutant("an old attempt acts on", " or task.attempt != self._attempt or", " or", "grants.py"),
    Mutant(
        "what was approved can not be taken back",
        "        self.state.tasks[uid] = tuple(filter(kept, self._row(uid)))\n",
        "",
        "grants.py",
    ),
)


def prepare(folder: Path, mutant: Mutant | None) -> str:
    """Copy package and tests, and put the fault in. What is wrong with the mutant, if anything."""
    leave = shutil.ignore_patterns("labextension", "*.ipynb")  # bytecode goes along: all but the mutant is as it was
    shutil.copytree(ROOT / "jupyter_orchestra", folder / "jupyter_orchestra", ignore=leave)
    behind = {str(Path(file).parent) for files in BEHIND.values() for file in files}
    for tests in {"tests/core", "tests/bridge/golden", *behind}:
        shutil.copytree(ROOT / tests, folder / tests, ignore=leave)
    shutil.copytree(ROOT / "docs", folder / "docs")
    if mutant is None:
        return ""
    path = folder / "jupyter_orchestra" / ("" if mutant.file in BEHIND else "core") / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        return f"its snippet stands {text.count(mutant.old)} times in {mutant.file}: write the mutant anew"
    path.write_text(text.replace(mutant.old, mutant.new))
    return ""


def run(folder: Path, *arguments: str, schedules: int) -> tuple[int, str]:
    """Exit code of pytest (0: nothing was found) and the line of its first failure."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "ORCHESTRA_SCHEDULES": str(schedules),
        "ORCHESTRA_SHRINK": "0",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "--assert=plain", "-p", "no:cacheprovider"]
    if schedules:
        command += ["-p", "_hypothesis_pytestplugin", "--hypothesis-seed=7"]
    try:
        done = subprocess.run(
            [*command, "-c", os.devnull, "--rootdir", str(folder), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return 1, "it hangs"
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, failed[0][:150] if failed else (done.stdout + done.stderr).strip()[-500:]


def ignored(files: tuple[str, ...]) -> list[str]:
    return [f"--ignore={file}" for file in files]


def hunt(mutant: Mutant | None, properties_alone: bool) -> tuple[bool, str]:
    """Whether a test found the fault (without a fault: whether all tests pass), and what there is to say."""
    with tempfile.TemporaryDirectory(prefix="orchestra-mutant-") as name:
        folder = Path(name)
        if problem := prepare(folder, mutant):
            return False, problem
        code, line = 0, ""
        if mutant is not None and mutant.file in BEHIND:
            code, line = run(folder, *BEHIND[mutant.file], schedules=0)
            return code == 1, line if code else "no test has found it"
        if mutant is not None and mutant.file in NEAREST and not properties_alone:
            code, line = run(folder, *NEAREST[mutant.file], schedules=0)
        if code == 0 and not properties_alone:
            code, line = run(folder, "tests/core", *ignored(PROPERTIES + SIMULATIONS), schedules=0)
        if code == 0 and not properties_alone:
            code, line = run(folder, *SIMULATIONS, schedules=0)
        if code == 0:
            code, line = run(folder, *PROPERTIES, schedules=20 if mutant is None else 400)
        if mutant is None:
            if code == 0 and not properties_alone:
                code, line = run(folder, *(file for files in BEHIND.values() for file in files), schedules=0)
            return code == 0, f"without a fault there are failures: {line}"
        if code not in (0, 1):
            return False, f"pytest itself failed ({code}): {line}"
        return code == 1, line if code else "no test has found it"


def main() -> int:
    begun = time.perf_counter()
    properties_alone = "--properties" in sys.argv[1:]
    healthy, line = hunt(None, properties_alone)
    if not healthy:
        print(line)
        return 1
    with ThreadPoolExecutor(PARALLEL) as pool:
        mutants = [mutant for mutant in MUTANTS if not (properties_alone and mutant.file in BEHIND)]
        found = list(pool.map(lambda mutant: hunt(mutant, properties_alone), mutants))
    killed = sum(dead for dead, _ in found)
    for mutant, (dead, line) in zip(mutants, found, strict=True):
        if not dead or "-v" in sys.argv[1:]:
            print(f"{'killed  ' if dead else 'SURVIVED'} {mutant.name}: {line}")
    print(f"mutants: {killed} of {len(mutants)} killed in {time.perf_counter() - begun:.0f} s")
    return 0 if killed == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
