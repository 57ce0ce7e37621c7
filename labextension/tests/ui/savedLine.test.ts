import { readLine } from '../../src/savedLine';

test('a saved card is read as it is', () => {
  const saved = { uid: 'u1', name: 'fit', worker: 'kernel', state: 'done', line: 'ended' };
  expect(readLine(saved)).toEqual(saved);
});

const oddities = [null, 'text', [], { uid: 4, name: {}, state: 'constructor' }];

test.each(oddities)('a notebook may hold %j in its place', data => {
  expect(readLine(data)).toEqual({ uid: '', name: '', worker: '', state: 'lost', line: '' });
});
