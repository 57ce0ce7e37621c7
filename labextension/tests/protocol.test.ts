import { join } from 'path';
import ts from 'typescript';

import type { ToKernel, ToPage } from '../src/protocol';
import { golden } from './golden';

const CASES = [
  ['to_page', 'ToPage'],
  ['to_kernel', 'ToKernel']
] as const;
const SOURCES = join(__dirname, '..', 'src');

/** What the compiler says to the value of a type that protocol.ts declares. */
function complaints(type: string, value: unknown): string[] {
  const path = join(SOURCES, 'golden.check.ts');
  const text = `import type { ${type} } from './protocol';\nexport const value: ${type}[] = ${JSON.stringify(value)};\n`;
  const options: ts.CompilerOptions = { strict: true, noEmit: true, types: [], lib: ['lib.es2020.d.ts', 'lib.dom.d.ts'] };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.getSourceFile = (name, ...rest) =>
    name === path ? ts.createSourceFile(name, text, ts.ScriptTarget.ES2020) : getSourceFile(name, ...rest);
  host.fileExists = name => name === path || fileExists(name);
  host.readFile = name => (name === path ? text : readFile(name));
  const program = ts.createProgram([path], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

test.each(CASES)('every golden message in %s.json is a %s', (name, type) => {
  expect(golden(name)).not.toEqual([]);
  expect(complaints(type, golden(name))).toEqual([]);
});

test('the check sees a field that is missing, of another type or unknown', () => {
  const ack = { type: 'Ack', uid: 'u1', attempt: 1 };
  expect(complaints('ToKernel', [ack])).toEqual([]);
  expect(complaints('ToKernel', [{ type: 'Ack', uid: 'u1' }])).not.toEqual([]);
  expect(complaints('ToKernel', [{ ...ack, attempt: '1' }])).not.toEqual([]);
  expect(complaints('ToKernel', [{ ...ack, more: 1 }])).not.toEqual([]);
});

test('each kind of message has a golden one', () => {
  const kinds = (name: 'to_page' | 'to_kernel'): Set<string> =>
    new Set(golden<ToPage | ToKernel>(name).map(({ type }) => type));
  expect([...kinds('to_page')].sort()).toEqual(
    ['Answer', 'Changes', 'Chunk', 'Detail', 'Grant', 'Mismatch', 'Offer', 'Output', 'Ping', 'Problem', 'Snapshot', 'Terminal'].sort()
  );
  expect([...kinds('to_kernel')].sort()).toEqual(
    ['Ack', 'Act', 'Bye', 'Claim', 'Compose', 'Composing', 'Fetch', 'Hello', 'PageChanged', 'Pong', 'Resize', 'Steer', 'TurnAct', 'Type', 'Watch'].sort()
  );
});
