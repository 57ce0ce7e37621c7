import { Actions, possible, verdicts } from '../../src/actions';
import type { Asked, NotebookModel } from '../../src/model';
import type { IAnswer, ICard } from '../../src/protocol';
import { card, notebook, question, trans } from './cards';

/** A notebook, and a way to answer what it is asked last. */
function asked(...cards: ICard[]): {
  model: NotebookModel;
  said: Asked[];
  answer: (changes: Partial<IAnswer>) => void;
} {
  const model = notebook('a', ...cards);
  const said: Asked[] = [];
  model.connect(message => void said.push(message as Asked));
  const answer = (changes: Partial<IAnswer>): void => {
    const { request } = said[said.length - 1]!;
    model.take({ type: 'Answer', request, ok: true, message: '', uids: [], names: [], ...changes });
  };
  return { model, said, answer };
}

test.each([
  [{ state: 'running', pausable: true }, ['pause', 'cancel']],
  [{ state: 'running', pausable: false }, ['cancel']],
  [{ state: 'waiting', pausable: true }, ['pause', 'cancel']],
  [{ state: 'paused', pausable: true }, ['resume', 'cancel']],
  [{ state: 'running', stopping: true }, []],
  [{ state: 'done' }, []],
  [{ state: 'failed' }, ['retry']],
  [{ state: 'cancelled' }, ['retry']],
  [{ state: 'lost' }, ['retry', 'forget']]
] as [Partial<ICard>, string[]][])('of a task with %j can be asked %j', (changes, actions) => {
  expect(possible(card(changes))).toEqual(actions);
});

test('an action is pending until it is answered, and is not asked twice', async () => {
  const task = card();
  const { model, said, answer } = asked(task);
  const actions = new Actions(trans);
  const done = actions.act(model, task, 'cancel');
  void actions.act(model, task, 'cancel');
  expect(said).toMatchObject([{ type: 'Act', action: 'cancel', tasks: [task.uid] }]);
  expect(actions.pendingOf(task.uid)).toBe('cancel');
  answer({ ok: true });
  await done;
  expect(actions.pendingOf(task.uid)).toBeNull();
  expect(actions.refusalOf(task)).toBe('');
});

test('a refusal outlives progress and goes with the next change of state', async () => {
  const task = card();
  const { model, answer } = asked(task);
  const actions = new Actions(trans);
  const done = actions.act(model, task, 'pause');
  answer({ ok: false, message: 'it cannot be paused' });
  await done;
  expect(actions.refusalOf({ ...task, progress: 0.5, version: 2 })).toBe('it cannot be paused');
  expect(actions.refusalOf({ ...task, state: 'done' })).toBe('');
  expect(actions.refusalOf(task)).toBe('');
});

test('a refusal of what was asked of all is the notebook’s, until it is asked again', async () => {
  const { model, said, answer } = asked(card());
  const actions = new Actions(trans);
  let done = actions.cancelAll(model);
  expect(said[0]).toMatchObject({ action: 'cancel', all: true });
  answer({ ok: false, message: 'nothing runs' });
  await done;
  expect(actions.noticeOf(model)).toBe('nothing runs');
  done = actions.clearFinished(model);
  expect(said[1]).toMatchObject({ action: 'forget', ended: true });
  expect(actions.noticeOf(model)).toBe('');
  answer({ ok: true });
  await done;
});

describe('an answer', () => {
  beforeEach(() => void jest.useFakeTimers({ now: 1_000_000 }));
  afterEach(() => void jest.useRealTimers());

  test.each([
    ['approve', { action: 'approve', always: false }],
    ['always', { action: 'approve', always: true }],
    ['decline', { action: 'decline', always: false }]
  ] as const)('%s names the question that was read', (verdict, act) => {
    const task = card({ question: question() });
    const { model, said } = asked(task);
    const actions = new Actions(trans);
    void actions.answer(model, task, task.question!, verdict);
    expect(said).toMatchObject([{ type: 'Act', tasks: [task.uid], digest: 'd1', ...act }]);
    expect(actions.pendingOf(task.uid)).toBe(verdict);
  });

  test('by two clicks is one, though another question has come under them, of this task or of another', async () => {
    const task = card({ question: question() });
    const other = card({ question: question({ digest: 'd9' }) });
    const { model, said, answer } = asked(task, other);
    const actions = new Actions(trans);
    const done = actions.answer(model, task, task.question!, 'approve');
    answer({ ok: true });
    await done;
    void actions.answer(model, task, question({ digest: 'd2' }), 'approve');
    void actions.answer(model, other, other.question!, 'approve');
    expect(said).toHaveLength(1);
    jest.advanceTimersByTime(1000);
    void actions.answer(model, other, other.question!, 'approve');
    expect(said).toHaveLength(2);
  });

  test('that is refused says why until the question changes', async () => {
    const task = card({ question: question(), needs_you: 'approve or decline: run: pytest' });
    const { model, answer } = asked(task);
    const actions = new Actions(trans);
    const done = actions.answer(model, task, task.question!, 'approve');
    answer({ ok: false, message: 'it asks something else now' });
    await done;
    expect(actions.refusalOf(task)).toBe('it asks something else now');
    expect(actions.refusalOf({ ...task, question: question({ digest: 'd2' }) })).toBe('');
  });

  test('for good is for what a worker asks, not for what the master proposes', () => {
    expect(verdicts(question())).toEqual(['approve', 'always', 'decline']);
    expect(verdicts(question({ proposal: true }))).toEqual(['approve', 'decline']);
  });
});

test('what is asked of the master and refused is told of the notebook', async () => {
  const { model, said, answer } = asked();
  const actions = new Actions(trans);
  const done = actions.turn(model, 'stop');
  expect(said).toMatchObject([{ type: 'TurnAct', action: 'stop' }]);
  answer({ ok: false, message: 'the master is in no turn' });
  await done;
  expect(actions.noticeOf(model)).toBe('the master is in no turn');
});
