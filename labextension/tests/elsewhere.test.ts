import type { Kernel } from '@jupyterlab/services';

import { noteServerRuns, ServerRuns } from '../src/kernel/elsewhere';
import { asKernel, FakeKernel } from './kernel';

/** The kernel begins a request, of this page or of another sender. */
function begin(kernel: FakeKernel, request: string, code: string, session = 'the server'): void {
  const msg = { channel: 'iopub', header: { msg_type: 'execute_input' }, parent_header: { msg_id: request, session }, content: { code } };
  kernel.anyMessage.emit({ msg, direction: 'recv' } as unknown as Kernel.IAnyMessageArgs);
}

function opened(): { kernel: FakeKernel; runs: ServerRuns; run: (id: string, code: string) => Promise<boolean>; end: (ran?: boolean) => void } {
  const kernel = new FakeKernel('k');
  const ends: ((ran: boolean) => void)[] = [];
  const executor = { runCell: () => new Promise<boolean>(resolve => ends.push(resolve)) } as any;
  noteServerRuns(executor);
  const run = (id: string, code: string): Promise<boolean> => {
    const cell = { model: { type: 'code', id, sharedModel: { getSource: () => code } } };
    return executor.runCell({ cell, sessionContext: { session: { kernel: asKernel(kernel) } } });
  };
  return { kernel, runs: ServerRuns.of(asKernel(kernel)), run, end: (ran = true) => ends.shift()?.(ran) };
}

const settled = (): Promise<void> => new Promise(resolve => setTimeout(resolve));

beforeEach(() => localStorage.clear());

test('cells that the server runs are known by the requests that it sends, in the order of asking', () => {
  const { kernel, runs, run } = opened();
  void run('a', 'x');
  void run('b', 'y');
  void run('c', 'x');
  ['x', 'y', 'x'].forEach((code, index) => begin(kernel, `r${index}`, code));
  expect(['r0', 'r1', 'r2', 'r3'].map(request => runs.cellOf(request))).toEqual(['a', 'b', 'c', '']);
});

test('what this page sends itself, or someone else, is no cell of the server', () => {
  const { kernel, runs, run } = opened();
  void run('a', 'x');
  begin(kernel, 'mine', 'x', asKernel(kernel).clientId);
  begin(kernel, 'other', 'z');
  expect([runs.cellOf('mine'), runs.cellOf('other')]).toEqual(['', '']);
});

test('a cell that the server never came to does not take the place of the next', async () => {
  const { kernel, runs, run, end } = opened();
  void run('a', 'x');
  end(false);
  await settled();
  void run('b', 'x');
  begin(kernel, 'r', 'x');
  expect(runs.cellOf('r')).toBe('b');
});

test('a cell whose end is heard before its beginning is known', async () => {
  const { kernel, runs, run, end } = opened();
  void run('a', 'x');
  void run('b', 'x');
  end();
  end();
  await settled();
  ['x', 'x'].forEach((code, index) => begin(kernel, `r${index}`, code));
  expect(['r0', 'r1'].map(request => runs.cellOf(request))).toEqual(['a', 'b']);
});

test.each(['a later cell began', 'the connection was cut'])('a beginning is not waited for when %s', async reason => {
  const { kernel, runs, run, end } = opened();
  void run('a', 'x');
  void run('b', 'y');
  end();
  await settled();
  if (reason === 'a later cell began') {
    begin(kernel, 'r0', 'y');
  } else {
    kernel.connectionStatusChanged.emit('connecting');
  }
  void run('c', 'x');
  begin(kernel, 'r1', 'x');
  expect(runs.cellOf('r1')).toBe('c');
});

test('a page that is loaded again knows the cells that it had the server run, of the last 200 requests', () => {
  const { kernel, run } = opened();
  for (let index = 0; index <= 200; index++) {
    void run(`c${index}`, 'x');
    begin(kernel, `q${index}`, 'x');
  }
  const again = new ServerRuns(asKernel(kernel));
  expect(['q0', 'q1', 'q200'].map(request => again.cellOf(request))).toEqual(['', 'c1', 'c200']);
  expect(new ServerRuns(asKernel(new FakeKernel('another'))).cellOf('q200')).toBe('');
});

test('the default executor is left as it is', () => {
  const executor = Object.freeze({ runCell: jest.fn() }) as any;
  expect(() => noteServerRuns(executor)).not.toThrow();
});
