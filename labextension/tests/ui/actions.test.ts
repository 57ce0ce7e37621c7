import { Actions, possible } from '../../src/actions';
import type { Asked, NotebookModel } from '../../src/model';
import type { IAnswer, ICard } from '../../src/protocol';
import { card, notebook, trans } from './cards';

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
