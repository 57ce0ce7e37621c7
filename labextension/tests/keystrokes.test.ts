import { isReport, Keystrokes, MOST } from '../src/panel/keystrokes';

/** A kernel that answers when the test says so. */
class Kernel {
  readonly sent: string[] = [];
  readonly said: string[] = [];
  readonly keys = new Keystrokes(
    text => this._type(text),
    problem => void this.said.push(problem),
    () => 'too much'
  );

  async answer(problem = ''): Promise<void> {
    this._answers.shift()!(problem);
    await new Promise(resolve => setTimeout(resolve));
  }

  private _type(text: string): Promise<string> {
    this.sent.push(text);
    return new Promise(resolve => this._answers.push(resolve));
  }

  private _answers: ((problem: string) => void)[] = [];
}

test('what is typed while a message is on its way goes with the next one, in its order', async () => {
  const kernel = new Kernel();
  [...'ls -l\r'].forEach(key => kernel.keys.add(key));
  expect(kernel.sent).toEqual(['l']);
  await kernel.answer();
  expect(kernel.sent).toEqual(['l', 's -l\r']);
  await kernel.answer();
  kernel.keys.add('\u0003');
  expect(kernel.sent).toEqual(['l', 's -l\r', '\u0003']);
});

test('no message holds more than the kernel takes', async () => {
  const kernel = new Kernel();
  const paste = 'é'.repeat(MOST / 3);
  for (let count = 0; count < 4; count += 1) {
    kernel.keys.add(paste);
  }
  while (kernel.sent.join('').length < 4 * paste.length) {
    await kernel.answer();
  }
  expect(kernel.sent.join('')).toBe(paste.repeat(4));
  expect(Math.max(...kernel.sent.map(text => Buffer.byteLength(text)))).toBeLessThanOrEqual(MOST);
});

test.each(['x'.repeat(MOST + 1), '€'.repeat(MOST / 3 + 1)])('what is too much is not sent, and said', paste => {
  const kernel = new Kernel();
  kernel.keys.add(paste);
  expect([kernel.sent, kernel.said]).toEqual([[], ['too much']]);
});

test('when something did not arrive, what was typed after it is not sent without it', async () => {
  const kernel = new Kernel();
  kernel.keys.add('rm -r old');
  kernel.keys.add('er\r');
  await kernel.answer('it is paused');
  expect([kernel.sent, kernel.said]).toEqual([['rm -r old'], ['it is paused']]);
  kernel.keys.add('x');
  await kernel.answer();
  expect(kernel.said).toEqual(['it is paused', '']);
});

test.each(['\x1b[?1;2c', '\x1b[>0;276;0c', '\x1b[12;40R', '\x1b[0n', '\x1b[?2026;2$y', '\x1bP1$r0m\x1b\\', '\x1b]11;rgb:f/f/f\x07'])(
  '%j is said by the terminal itself',
  text => expect(isReport(text)).toBe(true)
);

test.each(['a', '\r', '\x1b', '\x1b[A', '\x1bOP', '\x1b[3~', '\x1b[1;5C', '\x1b[200~c\x1b[201~', 'c', '\x1bc'])(
  '%j is typed by the person',
  text => expect(isReport(text)).toBe(false)
);
