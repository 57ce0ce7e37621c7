import { readFileSync } from 'fs';
import { join } from 'path';

import { VERSION } from '../src/version';

const root = join(__dirname, '..');

test('page, package and Python have one version', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const python = readFileSync(join(root, '..', 'jupyter_orchestra', '__init__.py'), 'utf8');
  expect([VERSION, version]).toEqual([version, /^__version__ = ['"](.*)['"]$/m.exec(python)?.[1]]);
});
