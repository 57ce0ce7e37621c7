import { sendAhead } from '../src/kernel/ahead';
import { Line } from '../src/kernel/line';
import type { IHello, ToPage } from '../src/protocol';
import { DOWN, UP } from '../src/protocol';
import { StorageShelf } from '../src/kernel/shelf';
import { Subshells } from '../src/kernel/subshell';
import { asKernel, FakeKernel } from './kernel';

function shelf(): StorageShelf {
  const items = new Map<string, string>();
  return new StorageShelf({ getItem: key => items.get(key) ?? null, setItem: (key, value) => void items.set(key, value) });
}

/** A kernel that makes subshells and lists them. */
function able(): FakeKernel {
  const kernel = new FakeKernel();
  const made: string[] = [];
  kernel.replies = {
    create_subshell_request: () => {
      made.push(`s${made.length + 1}`);
      return { status: 'ok', subshell_id: made[made.length - 1] };
    },
    list_subshell_request: () => ({ status: 'ok', subshell_id: made })
  };
  return kernel;
}

describe('a subshell', () => {
  test('is made once for each purpose, however often and early it is asked for', async () => {
    const kernel = able();
    const subshells = new Subshells(asKernel(kernel), shelf());
    const found = await Promise.all([subshells.find('comms'), subshells.find('comms'), subshells.find('cells')]);
    expect([...found, await subshells.find('comms')]).toEqual(['s1', 's1', 's2', 's1']);
    expect([subshells.supported, subshells.known('cells')]).toEqual([true, 's2']);
  });

  test('is found again after a reload', async () => {
    const [kernel, kept] = [able(), shelf()];
    await new Subshells(asKernel(kernel), kept).find('comms');
    expect(await new Subshells(asKernel(kernel), kept).find('comms')).toBe('s1');
    expect(kernel.kinds()).toEqual(['create_subshell_request', 'list_subshell_request']);
  });

  test('that two views of a kernel ask for at once is made once', async () => {
    const [kernel, kept] = [able(), shelf()];
    const [one, two] = [new Subshells(asKernel(kernel), kept), new Subshells(asKernel(kernel), kept)];
    expect(await Promise.all([one.find('comms'), two.find('comms')])).toEqual(['s1', 's1']);
  });

  test('that the kernel no longer lists is made again', async () => {
    const [kernel, kept] = [able(), shelf()];
    kept.set('k', 'comms', 'from before');
    expect(await new Subshells(asKernel(kernel), kept).find('comms')).toBe('s1');
  });

  test('that vanished is told, and made again when it is wanted', async () => {
    const kernel = able();
    const subshells = new Subshells(asKernel(kernel), shelf());
    const told: string[] = [];
    subshells.vanished.connect((_, purpose) => void told.push(purpose));
    await subshells.find('comms');
    kernel.replies['list_subshell_request'] = () => ({ status: 'ok', subshell_id: [] });
    kernel.refuse('of somebody else');
    expect(told).toEqual([]);
    kernel.refuse('s1');
    expect([told, subshells.known('comms')]).toEqual([['comms'], null]);
    expect(await subshells.find('comms')).toBe('s2');
  });

  test('is forgotten when the kernel starts anew', async () => {
    const kernel = able();
    const subshells = new Subshells(asKernel(kernel), shelf());
    await subshells.find('cells');
    kernel.statusChanged.emit('autorestarting');
    expect(subshells.known('cells')).toBeNull();
  });

  test('is not there in a kernel that says so, and it is not asked for long', async () => {
    const kernel = new FakeKernel();
    const subshells = new Subshells(asKernel(kernel), shelf());
    kernel.known.resolve();
    expect(await subshells.find('comms')).toBeNull();
    expect(subshells.supported).toBe(false);
    expect(await subshells.find('cells')).toBeNull();
    expect(kernel.kinds()).toEqual(['create_subshell_request']);
  });

  test('is asked for again when the kernel was silent and has subshells all the same', async () => {
    jest.useFakeTimers();
    const kernel = able();
    const create = kernel.replies['create_subshell_request']!;
    let asked = 0;
    kernel.replies['create_subshell_request'] = () => (asked++ === 0 ? undefined : create());
    kernel.supportsSubshells = true;
    kernel.known.resolve();
    const found = new Subshells(asKernel(kernel), shelf()).find('comms');
    await jest.advanceTimersByTimeAsync(10_000);
    jest.useRealTimers();
    expect([await found, asked]).toEqual(['s1', 2]);
  });
});

describe('a line', () => {
  const hello = { type: 'Hello', client: 'c' } as IHello;
  const lay = (subshell: string | null): { kernel: FakeKernel; line: Line; heard: unknown[]; closed: jest.Mock } => {
    const [kernel, heard, closed] = [new FakeKernel(), [] as unknown[], jest.fn()];
    const line = new Line(asKernel(kernel), subshell, { onMessage: message => heard.push(message), onClose: closed });
    line.open(hello);
    return { kernel, line, heard, closed };
  };

  test('opens down before up, on the subshell, with none of JupyterLab\'s own', () => {
    const { kernel } = lay('s1');
    expect(kernel.sent.map(({ header, content }) => [header.msg_type, header.subshell_id, content.target_name, content.data])).toEqual([
      ['comm_open', 's1', DOWN, { client: 'c' }],
      ['comm_open', 's1', UP, { ...hello, down: `id of ${DOWN}` }]
    ]);
    expect(kernel.comms.map(({ commsOverSubshells }) => commsOverSubshells)).toEqual(['disabled', 'disabled']);
  });

  test('speaks on up and hears on down', () => {
    const { kernel, line, heard } = lay('s1');
    line.send({ type: 'Pong' });
    expect(kernel.sent[2]).toMatchObject({ header: { msg_type: 'comm_msg', subshell_id: 's1' }, content: { comm_id: `id of ${UP}` } });
    const ping: ToPage = { type: 'Ping' };
    kernel.comms.find(({ targetName }) => targetName === DOWN)?.onMsg({ content: { data: ping } });
    expect(heard).toEqual([ping]);
  });

  test('that the kernel closes is told once, and is silent afterwards', () => {
    const { kernel, line, closed } = lay(null);
    kernel.comms.forEach(comm => comm.onClose());
    line.send({ type: 'Pong' });
    line.close(true);
    expect(closed).toHaveBeenCalledTimes(1);
    expect(kernel.kinds()).toEqual(['comm_open', 'comm_open']);
  });

  test('that this side closes tells the kernel, where it is still the same', () => {
    const [told, silent] = [lay('s1'), lay('s1')];
    told.line.close(true);
    silent.line.close(false);
    expect(told.kernel.kinds().slice(2)).toEqual(['comm_close', 'comm_close']);
    expect(silent.kernel.kinds().slice(2)).toEqual([]);
    expect(told.kernel.comms.every(({ isDisposed }) => isDisposed)).toBe(true);
  });
});

describe('a message that need not wait for the main shell', () => {
  const queue = (changes: object): { kernel: any; sent: string[] } => {
    const sent: string[] = [];
    const kernel = { connectionStatus: 'connected', _isRestarting: false, _pendingMessages: ['held'], ...changes };
    return { kernel, sent };
  };
  const send = ({ kernel, sent }: { kernel: any; sent: string[] }): void => {
    sendAhead(kernel, () => (kernel._pendingMessages.length > 0 ? kernel._pendingMessages : sent).push('mine'));
  };

  test('goes at once, and what waited waits on', () => {
    const at = queue({});
    send(at);
    expect([at.sent, at.kernel._pendingMessages]).toEqual([['mine'], ['held']]);
  });

  test.each([{ connectionStatus: 'connecting' }, { _isRestarting: true }, { _isRestarting: undefined }])('waits too with %o', changes => {
    const at = queue(changes);
    send(at);
    expect([at.sent, at.kernel._pendingMessages]).toEqual([[], ['held', 'mine']]);
  });
});
