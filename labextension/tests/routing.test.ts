import type { Kernel } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import { NotebookModel } from '../src/model';
import { IN_ORDER, routeCells, Router, wrapExecutor } from '../src/router';
import { Subshells } from '../src/kernel/subshell';
import { asKernel, FakeKernel } from './kernel';

const runHere = jest.fn();
jest.mock('@jupyterlab/notebook', () => ({ runCell: (options: unknown) => runHere(options) }));

const settled = (): Promise<void> => new Promise(resolve => setTimeout(resolve));
let count = 0;

/** A kernel that notes what reaches its main shell and what its subshells. */
class ShellKernel extends FakeKernel {
  readonly connectionStatusChanged = new Signal<this, string>(this);
  readonly disposed = new Signal<this, void>(this);
  main: string[] = [];
  subshell: any[] = [];

  constructor() {
    super(`kernel ${count++}`);
    this.replies = { create_subshell_request: () => ({ status: 'ok', subshell_id: 's1' }) };
  }

  requestExecute(content: { code: string }): unknown {
    this.main.push(content.code);
    const msg = { channel: 'shell', header: { msg_id: content.code, msg_type: 'execute_request' }, parent_header: {}, content };
    this.anyMessage.emit({ msg, direction: 'send' } as unknown as Kernel.IAnyMessageArgs);
    return { done: new Promise(() => undefined), dispose: () => undefined };
  }

  override sendShellMessage(message: any): any {
    this.subshell.push(message);
    return { done: new Promise(() => undefined), dispose: () => undefined };
  }

  /** The main shell has ended a request, here or elsewhere. */
  end(id: string): void {
    const parent_header = { msg_id: id, msg_type: 'execute_request' };
    const reply = { channel: 'shell', header: { msg_id: 'r', msg_type: 'execute_reply' }, parent_header, content: {} };
    const idle = { channel: 'iopub', header: { msg_id: 'i', msg_type: 'status' }, parent_header, content: { execution_state: 'idle' } };
    for (const msg of [reply, idle]) {
      this.anyMessage.emit({ msg, direction: 'recv' } as unknown as Kernel.IAnyMessageArgs);
    }
  }
}

async function routed(): Promise<{ kernel: ShellKernel; model: NotebookModel; run: (code: string, metadata?: any) => void }> {
  const kernel = new ShellKernel();
  const model = new NotebookModel('p', 'a.ipynb');
  new Router(asKernel(kernel), model);
  model.stand('ready');
  await settled();
  kernel.end('before');
  const run = (code: string, metadata?: any): void => void asKernel(kernel).requestExecute({ code }, false, metadata);
  return { kernel, model, run };
}

beforeEach(() => runHere.mockReset());

test('a conversation cell runs on the main shell while that is idle, and past it while it is busy', async () => {
  const { kernel, run } = await routed();
  run('%tasks');
  kernel.end('%tasks');
  run('x = 1');
  await settled();
  run('%%chat\nhello', { cellId: 'c1' });
  run('%gather');
  expect(kernel.main).toEqual(['%tasks', 'x = 1', '%gather']);
  expect(kernel.subshell).toMatchObject([
    { header: { subshell_id: 's1' }, content: { code: '%%chat\nhello', allow_stdin: false, silent: false }, metadata: { cellId: 'c1' } }
  ]);
});

test('in one batch all cells behind an ordinary one keep their order', async () => {
  const { kernel, run } = await routed();
  ['%tasks', 'x = 1', '%%chat\nhello'].forEach(code => run(code));
  expect([kernel.main, kernel.subshell]).toEqual([['%tasks', 'x = 1', '%%chat\nhello'], []]);
  await settled();
  run('%tasks');
  expect(kernel.subshell).toHaveLength(1);
});

test('a tag keeps a cell in order', async () => {
  const { kernel, run } = await routed();
  run('x = 1');
  await settled();
  run('%tasks', { tags: [IN_ORDER] });
  expect(kernel.main).toEqual(['x = 1', '%tasks']);
});

test('nothing is routed to a kernel without the extension', async () => {
  const { kernel, model, run } = await routed();
  model.stand('unloaded');
  run('x = 1');
  await settled();
  run('%tasks');
  expect(kernel.main).toEqual(['x = 1', '%tasks']);
});

describe('on a page that has just come back', () => {
  const early = (): { kernel: ShellKernel; model: NotebookModel; run: (code: string, metadata?: any) => void } => {
    const kernel = new ShellKernel();
    const model = new NotebookModel('p', 'a.ipynb');
    new Router(asKernel(kernel), model);
    model.stand('connecting');
    const run = (code: string, metadata?: any): void => void asKernel(kernel).requestExecute({ code }, false, metadata);
    return { kernel, model, run };
  };

  test('a conversation cell waits for the way past a busy main shell', async () => {
    const { kernel, model, run } = early();
    run('%tasks');
    expect([kernel.main, kernel.subshell]).toEqual([[], []]);
    model.stand('ready');
    await settled();
    expect([kernel.main, kernel.subshell.map(({ content }) => content.code)]).toEqual([[], ['%tasks']]);
  });

  test('it goes to the main shell as soon as that has answered', async () => {
    const { kernel, run } = early();
    run('%tasks');
    kernel.end('before');
    expect([kernel.main, kernel.subshell]).toEqual([['%tasks'], []]);
  });

  test('it goes to the main shell where there is no extension', async () => {
    const { kernel, model, run } = early();
    run('%tasks');
    model.stand('unloaded');
    expect([kernel.main, kernel.subshell]).toEqual([['%tasks'], []]);
  });

  test('no ordinary cell overtakes it, and one in order waits for nothing', () => {
    const { kernel, run } = early();
    run('%tasks');
    run('%chat', { tags: [IN_ORDER] });
    run('x = 1');
    expect(kernel.main).toEqual(['%chat', '%tasks', 'x = 1']);
  });

  test('it does not wait for ever', () => {
    jest.useFakeTimers();
    try {
      const { kernel, run } = early();
      run('%tasks');
      jest.advanceTimersByTime(10_000);
      expect(kernel.main).toEqual(['%tasks']);
    } finally {
      jest.useRealTimers();
    }
  });
});

interface IPlayed {
  kernel: ShellKernel;
  model: NotebookModel;
  onServer: jest.Mock;
  run: (code: string) => void;
}

describe('an executor that runs cells on the server', () => {
  const played = async (): Promise<IPlayed> => {
    const kernel = new ShellKernel();
    const model = new NotebookModel('p', 'a.ipynb');
    const sessionContext = {
      ...{ session: { kernel }, pendingInput: false },
      ...{ kernelChanged: new Signal<object, void>({}), sessionChanged: new Signal<object, void>({}) }
    };
    routeCells({ sessionContext } as any, model);
    model.stand('ready');
    await Subshells.of(asKernel(kernel)).find('cells');
    kernel.end('before');
    const onServer = jest.fn();
    const executor = { runCell: onServer };
    wrapExecutor(executor);
    const run = (source: string): void => {
      const model = { type: 'code', sharedModel: { getSource: () => source }, getMetadata: () => undefined };
      void executor.runCell({ cell: { model }, sessionContext });
    };
    return { kernel, model, onServer, run };
  };

  test('runs ordinary cells, and no conversation cell that stands alone', async () => {
    const { kernel, onServer, run } = await played();
    runHere.mockImplementation(({ cell }) => asKernel(kernel).requestExecute({ code: cell.model.sharedModel.getSource() }));
    run('%tasks');
    kernel.end('%tasks');
    run('x = 1');
    expect([onServer.mock.calls.length, kernel.main]).toEqual([1, ['%tasks']]);
    await settled();
    kernel.requestExecute({ code: 'what the server sent' });
    await settled();
    run('%%chat\nhello');
    expect([onServer.mock.calls.length, kernel.subshell.length]).toEqual([1, 1]);
  });

  test('gets no cell before it is known where it belongs', async () => {
    const { kernel, model, onServer, run } = await played();
    kernel.connectionStatusChanged.emit('connecting');
    model.stand('connecting');
    run('%tasks');
    expect([onServer.mock.calls.length, runHere.mock.calls.length]).toEqual([0, 0]);
    model.stand('ready');
    await settled();
    expect([onServer.mock.calls.length, runHere.mock.calls.length]).toEqual([0, 1]);
  });

  test('runs a conversation cell behind an ordinary one of the same batch', async () => {
    const { onServer, run } = await played();
    run('x = 1');
    run('%tasks');
    expect(onServer).toHaveBeenCalledTimes(2);
    expect(runHere).not.toHaveBeenCalled();
  });

  test('is left as it is when it is one of the frozen defaults', () => {
    const runCell = jest.fn();
    const executor = Object.freeze({ runCell });
    wrapExecutor(executor);
    expect(executor.runCell).toBe(runCell);
  });
});
