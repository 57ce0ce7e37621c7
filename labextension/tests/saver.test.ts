import { Signal } from '@lumino/signaling';

import type { IReceipt } from '../src/document/saver';
import { Saver } from '../src/document/saver';

describe('an acknowledgement', () => {
  class Context {
    readonly ready = Promise.resolve();
    readonly saveState = new Signal<this, string>(this);
    contentsModel: { writable?: boolean } | null = { writable: true };
    model = { readOnly: false, collaborative: false, dirty: false };
    saves: { end: () => void; fail: (error: Error) => void }[] = [];
    save(): Promise<void> {
      this.saveState.emit('started');
      return new Promise((resolve, reject) => {
        this.saves.push({
          end: () => {
            this.saveState.emit('completed');
            resolve();
          },
          fail: reject
        });
      });
    }
  }
  class FakeDialogs {
    isOpen = false;
    readonly closed = new Signal<this, void>(this);
    close(): void {
      this.isOpen = false;
      this.closed.emit();
    }
  }
  const cancelled = Object.assign(new Error('Cancel'), { name: 'ModalCancelError' });
  const one = { uid: '1', attempt: 1 };
  const two = { uid: '2', attempt: 1 };

  function saving(): { context: Context; dialogs: FakeDialogs; saver: Saver; safe: IReceipt[]; gone: Set<string> } {
    const [context, dialogs, safe, gone] = [new Context(), new FakeDialogs(), [] as IReceipt[], new Set<string>()];
    const saver = new Saver(context, dialogs, ({ uid }) => !gone.has(uid), receipt => safe.push(receipt));
    return { context, dialogs, saver, safe, gone };
  }
  /** Let timers and what waits for them run. */
  const pass = (time: number): Promise<void> => jest.advanceTimersByTimeAsync(time);

  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  test('comes after one save for all that came together', async () => {
    const { context, saver, safe } = saving();
    saver.add(one);
    saver.add(two);
    await pass(1000);
    expect([context.saves.length, safe]).toEqual([1, []]);
    context.saves[0]!.end();
    await pass(1000);
    expect([context.saves.length, safe]).toEqual([1, [one, two]]);
  });

  test('waits for a save that began after the insertion', async () => {
    const { context, saver, safe } = saving();
    saver.add(one);
    await pass(1000);
    saver.add(two);
    context.saves[0]!.end();
    await pass(1000);
    expect(safe).toEqual([one]);
    context.saves[1]!.end();
    await pass(1000);
    expect(safe).toEqual([one, two]);
  });

  test('waits while the person saves, and while a dialog is open', async () => {
    const { context, dialogs, saver, safe } = saving();
    context.saveState.emit('started');
    saver.add(one);
    await pass(1000);
    expect(context.saves).toHaveLength(0);
    dialogs.isOpen = true;
    context.saveState.emit('completed');
    await pass(1000);
    expect(context.saves).toHaveLength(0);
    dialogs.close();
    await pass(1000);
    context.saves[0]!.end();
    await pass(1000);
    expect(safe).toEqual([one]);
  });

  test('is not forced on a person who declined to save, and comes when they do', async () => {
    const { context, saver, safe } = saving();
    saver.add(one);
    await pass(1000);
    context.saves[0]!.fail(cancelled);
    await pass(1000);
    context.model.dirty = true;
    saver.confirm(one);
    await pass(600_000);
    expect([context.saves.length, safe]).toEqual([1, []]);
    context.saveState.emit('started');
    context.saveState.emit('completed manually');
    await pass(1000);
    context.saves[1]!.end();
    await pass(1000);
    expect(safe).toEqual([one]);
  });

  test('is no reason to ask the person who saves meanwhile: theirs comes after ours', async () => {
    const { context, saver, safe } = saving();
    saver.add(one);
    await pass(1000);
    const theirs = context.save();
    await pass(1000);
    expect(context.saves).toHaveLength(1);
    context.saves[0]!.end();
    await pass(0);
    expect([context.saves.length, safe]).toEqual([2, [one]]);
    saver.add(two);
    await pass(1000);
    expect(context.saves).toHaveLength(2);
    context.saves[1]!.end();
    await theirs;
    await pass(1000);
    expect(context.saves).toHaveLength(3);
  });

  test('that fails lets the person save, and that they declined is their answer to both', async () => {
    const { context, saver } = saving();
    saver.add(one);
    await pass(1000);
    void context.save();
    context.saves[0]!.fail(new Error('disk full'));
    await pass(0);
    expect(context.saves).toHaveLength(2);
    context.saves[1]!.end();
    await pass(20_000);
    const theirs = context.save();
    context.saves[2]!.fail(cancelled);
    await expect(theirs).rejects.toBe(cancelled);
    await pass(1000);
    expect(context.saves).toHaveLength(3);
  });

  test('is nobody\'s business any more once the page is closed', async () => {
    const { context, saver } = saving();
    const { save } = Context.prototype;
    expect(context.save).not.toBe(save);
    saver.dispose();
    expect(context.save).toBe(save);
  });

  test('is tried again after a failure, ever more slowly', async () => {
    const { context, saver, safe } = saving();
    saver.add(one);
    await pass(1000);
    context.saves[0]!.fail(new Error('disk full'));
    context.saveState.emit('failed');
    await pass(10_000);
    expect(context.saves).toHaveLength(1);
    await pass(10_000);
    context.saves[1]!.fail(new Error('disk full'));
    context.saveState.emit('failed');
    await pass(20_000);
    expect(context.saves).toHaveLength(2);
    await pass(20_000);
    context.saves[2]!.end();
    await pass(1000);
    expect(safe).toEqual([one]);
  });

  test('does not come for what the save took away', async () => {
    const { context, saver, safe, gone } = saving();
    saver.add(one);
    await pass(1000);
    gone.add('1');
    context.saves[0]!.end();
    await pass(1000);
    expect(safe).toEqual([]);
  });

  test('never comes from a document that cannot be saved', async () => {
    const { context, saver, safe } = saving();
    context.contentsModel = { writable: false };
    saver.add(one);
    await pass(1000);
    expect([context.saves.length, safe]).toEqual([0, []]);
  });

  test('of a shared document comes without a save', async () => {
    const { context, saver, safe } = saving();
    context.model.collaborative = true;
    saver.add(one);
    await pass(1000);
    expect([context.saves.length, safe]).toEqual([0, [one]]);
  });

  test('of what a saved document holds comes at once, of a changed one after a save', async () => {
    const { context, saver, safe } = saving();
    saver.confirm(one);
    expect(safe).toEqual([one]);
    context.model.dirty = true;
    saver.confirm(two);
    await pass(1000);
    expect([context.saves.length, safe]).toEqual([1, [one]]);
  });
});
