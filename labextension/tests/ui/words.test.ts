import React from 'react';

import { Unsandboxed } from '../../src/unsandboxed';
import { asking, awaited, duration, facts, figure, need, price, said, stateWord, summary, usage } from '../../src/words';
import { turnWord } from '../../src/sidebar/turnLine';
import { card, notebook, question, trans } from './cards';
import { drawn } from './drawn';

test.each([
  [0, '0 s'],
  [59.9, '59 s'],
  [60, '1:00'],
  [102, '1:42'],
  [7390, '2:03:10']
])('%d seconds are %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

test.each([
  [940, '940'],
  [12_400, '12.4k'],
  [245_300, '245k'],
  [999_960, '1.0M']
])('%d tokens are %s', (tokens, text) => {
  expect(figure(tokens)).toBe(text);
});

test('a small cost is not said to be none', () => {
  expect(price(0)).toBe('$0.00');
  expect(price(0.004)).toBe('<$0.01');
  expect(price(2.5)).toBe('$2.50');
});

test('what is unknown is not said', () => {
  expect(usage(card(), trans)).toBe('');
  expect(facts(card({ tier: '', attempt: 1 }), trans)).toEqual(['kernel', 'worker']);
  expect(usage(card({ tokens: 1500, cost: null }), trans)).toBe('1.5k tokens');
});

test('a task under cancel is stopping, whatever its state', () => {
  expect(stateWord({ state: 'running', stopping: true }, trans)).toBe('stopping');
  expect(stateWord({ state: 'lost', stopping: false }, trans)).toBe('lost');
});

test('beside the state stands the line of a running task, and else the reason, without the state again', () => {
  expect(said(card({ line: 'epoch 3', reason: 'retried' }))).toBe('epoch 3');
  expect(said(card({ state: 'failed', line: 'epoch 3', reason: 'out of memory' }))).toBe('out of memory');
  expect(said(card({ state: 'cancelled', reason: 'cancelled by you' }))).toBe('by you');
});

test('the label of a task that nothing confines says why', () => {
  const of = (unsandboxed: string) => drawn(React.createElement(Unsandboxed, { card: { unsandboxed }, trans })).firstElementChild;
  expect(of('')).toBeNull();
  expect(of('bubblewrap: not found')?.textContent).toBe('UNSANDBOXED');
  expect(of('bubblewrap: not found')?.getAttribute('title')).toMatch(/all your rights \(bubblewrap: not found\)$/);
});

test('the summary says what runs and what needs the person, and what waits when nothing runs', () => {
  const none = { 'needs-you': 0, running: 0, waiting: 0, finished: 7 };
  expect(summary(none, trans)).toBe('');
  expect(summary({ ...none, running: 3, waiting: 2, 'needs-you': 1 }, trans)).toBe('3 running · 1 needs you');
  expect(summary({ ...none, waiting: 2, 'needs-you': 2 }, trans)).toBe('2 waiting · 2 need you');
});

test('a lost task needs what its buttons do; any other need is said as it came', () => {
  const magics = 'rerun it (%orchestra retry x) or drop it (%orchestra forget x)';
  expect(need(card({ state: 'lost', needs_you: magics }), trans)).toBe('retry it or drop it');
  expect(need(card({ state: 'lost' }), trans)).toBe('');
  expect(need(card({ needs_you: 'may it write?' }), trans)).toBe('may it write?');
});

test('a waiting task names those that it still waits for', () => {
  const [done, slow, quick] = [card({ state: 'done' }), card({ name: 'slow' }), card({ name: 'quick' })];
  const later = card({ state: 'waiting', after: [done.uid, slow.uid, quick.uid, 'gone'] });
  const model = notebook('n', done, slow, quick, later);
  expect(awaited(later, model, trans)).toBe('for slow, quick');
  expect(awaited({ ...later, state: 'queued' }, model, trans)).toBe('');
});

test('of a question is said who asks, in a card and in a notice alike', () => {
  expect(asking(question(), trans)).toBe('It asks: run: pytest');
  expect(asking(question({ proposal: true, action: 'dispatch scan' }), trans)).toBe('The master proposes: dispatch scan');
  expect(need(card({ question: question(), needs_you: 'approve or decline: run: pytest' }), trans)).toBe('It asks: run: pytest');
});

test('a task says its tier and its model', () => {
  expect(facts(card({ worker: 'agent', role: 'explorer', tier: 'fast', model: 'small-1' }), trans)).toEqual([
    ...['agent', 'explorer', 'fast', 'small-1']
  ]);
});

test('a turn that nobody asked for is told from an answer', () => {
  expect(turnWord({ state: 'running', wake: false }, trans)).toBe('The master answers');
  expect(turnWord({ state: 'running', wake: true }, trans)).toBe('The master goes on');
  expect(turnWord({ state: 'failed', wake: true }, trans)).toBe('The master could not go on');
});
