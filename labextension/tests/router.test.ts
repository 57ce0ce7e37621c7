import type { KernelMessage } from '@jupyterlab/services';
import { PromiseDelegate } from '@lumino/coreutils';

import { Clients, tabId } from '../src/kernel/client';
import type { Future } from '../src/kernel/future';
import { CellFuture } from '../src/kernel/future';
import type { ISeen, ISituation } from '../src/kernel/rule';
import { isConversation, MainShell, route } from '../src/kernel/rule';
import { StorageShelf } from '../src/kernel/shelf';

describe('what is a conversation cell', () => {
  test.each([
    '%%chat\nhello',
    '\n  \n%%chat -t fast\nhello',
    '%%chat',
    '%%dispatch fit -w kernel\nwork()',
    '%%dispatch\nx -b',
    '%%dispatch --budget usd=1\nx',
    '%tasks',
    '%task fit',
    '# what runs?\n%tasks\n\n  %cancel --all',
    '%pause a\n%resume a\n%steer a more\n%approve a\n%decline a\n%orchestra status'
  ])('%j is', code => expect(isConversation(code)).toBe(true));

  test.each([
    '',
    '# nothing',
    'x = 1',
    '%gather',
    '%%dispatch -b\nx',
    '%%dispatch fit -w shell --block\nx',
    '%%dispatch -rb explorer\nx',
    '%tasks\nx = 1',
    '%tasks\n%gather',
    'x = %task fit',
    '%%time\n%tasks',
    '# first\n%%chat\nhello',
    '%%chatter\nx',
    '%taskset 1',
    '%%dispatchers\nx'
  ])('%j is not', code => expect(isConversation(code)).toBe(false));
});

describe('where a cell runs', () => {
  const free: ISituation = { conversation: true, silent: false, inOrder: false, ready: true, busy: true, batch: false };

  test('a conversation cell goes past a busy main shell', () => expect(route(free)).toBe('subshell'));

  test.each([
    ['an ordinary cell', { conversation: false }],
    ['with the main shell idle', { busy: false }],
    ['in a batch after an ordinary cell', { batch: true }],
    ['tagged to keep its place', { inOrder: true }],
    ['silent', { silent: true }],
    ['with no extension loaded or no subshell', { ready: false }]
  ] as const)('%s: on the main shell', (_, changes) => expect(route({ ...free, ...changes })).toBe('main'));
});

describe('whether the main shell is busy', () => {
  const execute = (id: string, subshell?: string): ISeen => ({
    channel: 'shell',
    header: { msg_id: id, msg_type: 'execute_request', subshell_id: subshell },
    parent_header: {},
    content: {}
  });
  const status = (state: string, parent: ISeen): ISeen => ({
    channel: 'iopub',
    header: { msg_id: 's', msg_type: 'status' },
    parent_header: parent.header,
    content: { execution_state: state }
  });
  const reply = (subshell?: string): ISeen => ({
    channel: 'shell',
    header: { msg_id: 'r', msg_type: 'kernel_info_reply' },
    parent_header: { msg_id: 'k', msg_type: 'kernel_info_request', subshell_id: subshell },
    content: {}
  });
  const idle = (): MainShell => {
    const main = new MainShell();
    main.received(reply());
    return main;
  };

  test('unknown counts as busy until the main shell answers anything', () => {
    const main = new MainShell();
    expect(main.busy).toBe(true);
    main.received(reply('sub'));
    expect(main.busy).toBe(true);
    main.received(reply());
    expect(main.busy).toBe(false);
  });

  test('from the sending of a request until its idle status', () => {
    const main = idle();
    const cell = execute('c');
    main.sent(cell);
    expect(main.busy).toBe(true);
    main.received(status('busy', cell));
    main.received(status('idle', execute('other')));
    expect(main.busy).toBe(true);
    main.received(status('idle', cell));
    expect(main.busy).toBe(false);
  });

  test('with a cell of another client too', () => {
    const main = idle();
    main.received(status('busy', execute('theirs')));
    expect(main.busy).toBe(true);
    main.received(status('idle', execute('theirs')));
    expect(main.busy).toBe(false);
  });

  test('what runs in a subshell does not count', () => {
    const main = idle();
    main.sent(execute('c', 'sub'));
    main.received(status('busy', execute('c', 'sub')));
    expect(main.busy).toBe(false);
  });

  test('a cut connection makes it unknown, a new start idle', () => {
    const main = idle();
    main.sent(execute('c'));
    main.doubt();
    expect(main.busy).toBe(true);
    main.clear();
    expect(main.busy).toBe(false);
  });
});

describe('a cell whose subshell is gone', () => {
  type Reply = KernelMessage.IExecuteReplyMsg;
  class FakeFuture {
    readonly delegate = new PromiseDelegate<Reply>();
    readonly done = this.delegate.promise;
    isDisposed = false;
    hooks: unknown[] = [];
    onReply: (reply: Reply) => unknown = () => undefined;
    onIOPub: (message: KernelMessage.IIOPubMessage) => unknown = () => undefined;
    onStdin = (): void => undefined;
    registerMessageHook(hook: unknown): void {
      this.hooks.push(hook);
    }
    removeMessageHook(): void {}
    sendInputReply(): void {}
    dispose(): void {
      this.isDisposed = true;
    }
    answer(content: object): void {
      const message = { content } as Reply;
      this.onReply(message);
      this.delegate.resolve(message);
    }
  }
  const DRAFT = {} as KernelMessage.IExecuteRequestMsg;
  const gone = { status: 'error', ename: 'UnknownSubshellError' };
  const fake = (): { first: FakeFuture; second: FakeFuture; outer: CellFuture; again: jest.Mock } => {
    const [first, second] = [new FakeFuture(), new FakeFuture()];
    const again = jest.fn(async () => second as unknown as Future);
    return { first, second, again, outer: new CellFuture(DRAFT, true).follow(first as unknown as Future, again) };
  };

  test('is sent once more, and the person sees the second run alone', async () => {
    const { first, second, outer } = fake();
    const [replies, outputs]: [unknown[], unknown[]] = [[], []];
    const hook = (): boolean => true;
    outer.onReply = ({ content }) => void replies.push(content);
    outer.onIOPub = message => void outputs.push(message);
    outer.registerMessageHook(hook);
    first.answer(gone);
    await new Promise(resolve => setTimeout(resolve));
    expect(first.isDisposed).toBe(true);
    expect(second.hooks).toEqual([hook]);
    second.onIOPub('out' as unknown as KernelMessage.IIOPubMessage);
    second.answer({ status: 'ok' });
    expect((await outer.done).content).toEqual({ status: 'ok' });
    expect(replies).toEqual([{ status: 'ok' }]);
    expect(outputs).toEqual(['out']);
    expect(outer.isDisposed).toBe(true);
  });

  test('is not sent a third time', async () => {
    const { first, second, outer, again } = fake();
    first.answer(gone);
    await new Promise(resolve => setTimeout(resolve));
    second.answer(gone);
    expect((await outer.done).content).toEqual(gone);
    expect(again).toHaveBeenCalledTimes(1);
  });

  test('an error of its own is not taken for it', async () => {
    const { first, outer, again } = fake();
    first.answer({ status: 'error', ename: 'ValueError' });
    expect((await outer.done).content).toMatchObject({ ename: 'ValueError' });
    expect(again).not.toHaveBeenCalled();
  });

  test('a run that is sent later keeps what was set before', async () => {
    const { first } = fake();
    const outer = new CellFuture(DRAFT, false);
    const replies: unknown[] = [];
    const hook = (): boolean => true;
    outer.onReply = ({ content }) => void replies.push(content);
    outer.registerMessageHook(hook);
    expect(outer.msg).toBe(DRAFT);
    outer.follow(first as unknown as Future);
    first.answer({ status: 'ok' });
    expect((await outer.done).content).toEqual({ status: 'ok' });
    expect([replies, first.hooks, outer.isDisposed]).toEqual([[{ status: 'ok' }], [hook], false]);
  });

  test('a run that is given up before it was sent ends as cancelled', async () => {
    const outer = new CellFuture(DRAFT, false);
    outer.dispose();
    await expect(outer.done).rejects.toThrow('Canceled');
  });

  test('a cancelled run stays cancelled', async () => {
    const { first, outer } = fake();
    first.delegate.reject(new Error('Canceled future'));
    await expect(outer.done).rejects.toThrow('Canceled');
  });
});

describe('the ids of subshells', () => {
  const storage = (): Pick<Storage, 'getItem' | 'setItem'> => {
    const items = new Map<string, string>();
    return { getItem: key => items.get(key) ?? null, setItem: (key, value) => void items.set(key, value) };
  };

  test('are kept by kernel and purpose', () => {
    const place = storage();
    new StorageShelf(place).set('k', 'comms', 'a');
    new StorageShelf(place).set('k', 'cells', 'b');
    const found = new StorageShelf(place);
    expect([found.get('k', 'comms'), found.get('k', 'cells'), found.get('other', 'comms')]).toEqual(['a', 'b', null]);
  });

  test('of the oldest kernels go first', () => {
    const shelf = new StorageShelf(storage());
    for (let kernel = 0; kernel < 60; kernel++) {
      shelf.set(`k${kernel}`, 'comms', 'a');
    }
    expect([shelf.get('k0', 'comms'), shelf.get('k59', 'comms')]).toEqual([null, 'a']);
  });

  test.each(['{', '[]', 'null', '{"k": 1}'])('a storage that holds %j is taken for empty', kept => {
    const shelf = new StorageShelf({ getItem: () => kept, setItem: () => undefined });
    expect(shelf.get('k', 'comms')).toBeNull();
  });
});

describe('client ids', () => {
  class Tab {
    readonly listeners = new Map<string, () => void>();
    constructor(readonly items = new Map<string, string>()) {}
    getItem = (key: string): string | null => this.items.get(key) ?? null;
    setItem = (key: string, value: string): void => void this.items.set(key, value);
    removeItem = (key: string): void => void this.items.delete(key);
    id = (): string => tabId(this, { addEventListener: ((name: string, act: () => void) => void this.listeners.set(name, act)) as any });
    duplicate = (): Tab => new Tab(new Map(this.items));
  }

  test('outlive a reload', () => {
    const tab = new Tab();
    const before = tab.id();
    tab.listeners.get('pagehide')?.();
    expect(tab.id()).toBe(before);
  });

  test('are not shared by a duplicated tab, nor by the duplicate of one that was shown again', () => {
    const tab = new Tab();
    const id = tab.id();
    expect(tab.duplicate().id()).not.toBe(id);
    tab.listeners.get('pagehide')?.();
    tab.listeners.get('pageshow')?.();
    expect(tab.duplicate().id()).not.toBe(id);
  });

  test('differ by notebook and by view, and come back to the same view', () => {
    const clients = new Clients('tab');
    const [a, b, other] = [clients.take('a'), clients.take('b'), clients.take('a')];
    expect(new Set([a, b, other]).size).toBe(3);
    clients.give(a);
    expect(clients.take('a')).toBe(a);
  });
});
