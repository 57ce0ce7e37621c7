import { Draft } from '../../src/sidebar/composer';
import type { Asked } from '../../src/model';
import { notebook, trans } from './cards';

beforeEach(() => sessionStorage.clear());

function sent(
  text: string,
  names: string[] = ['sums']
): { draft: Draft; done: Promise<void>; answer: (ok: boolean, message?: string) => void } {
  const model = notebook('a');
  const said: Asked[] = [];
  model.connect(message => void said.push(message as Asked));
  const draft = new Draft();
  draft.type(text);
  const done = draft.send(model, trans);
  expect(said).toMatchObject([{ type: 'Compose', text }]);
  const answer = (ok: boolean, message = ''): void => {
    model.take({ type: 'Answer', request: said[0]!.request, ok, message, uids: [], names });
  };
  return { draft, done, answer };
}

test('what was taken leaves the box, which says what became of it', async () => {
  const { draft, done, answer } = sent('sum(range(10))');
  expect(draft.pending).toBe(true);
  answer(true);
  await done;
  expect([draft.text, draft.outcome, draft.failed]).toEqual(['', 'dispatched sums', false]);
});

test('what was refused stays in the box with the reason', async () => {
  const { draft, done, answer } = sent('sum(');
  answer(false, 'invalid syntax');
  await done;
  expect([draft.text, draft.outcome, draft.failed]).toEqual(['sum(', 'invalid syntax', true]);
});

test('what is typed while an answer is awaited stays', async () => {
  const { draft, done, answer } = sent('a = 1');
  draft.type('a = 1\nb = 2');
  answer(true);
  await done;
  expect(draft.text).toBe('\nb = 2');
});

test('a draft is there again after a reload', () => {
  new Draft().type('half a thought');
  expect(new Draft().text).toBe('half a thought');
});

test('a message that was taken is said to be sent', async () => {
  const { draft, done, answer } = sent('which of these matter?', []);
  answer(true);
  await done;
  expect([draft.text, draft.outcome]).toEqual(['', 'sent']);
});
