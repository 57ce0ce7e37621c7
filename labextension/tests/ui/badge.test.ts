import { badgeOf, rebadged, TitleBadge } from '../../src/outside/badge';

const none = { 'needs-you': 0, running: 0, waiting: 4, finished: 7 };

/** Observers are told after the present step. */
const told = (): Promise<void> => new Promise(resolve => setTimeout(resolve));

test('the badge counts what needs the person, else what runs', () => {
  expect(badgeOf(none)).toBe('');
  expect(badgeOf({ ...none, running: 3 })).toBe('(3) ');
  expect(badgeOf({ ...none, running: 3, 'needs-you': 1 })).toBe('(1!) ');
});

test('only the badge that is shown is taken away', () => {
  expect(rebadged('(3) a.ipynb', '(3) ', '')).toBe('a.ipynb');
  expect(rebadged('(3) a.ipynb', '', '(1) ')).toBe('(1) (3) a.ipynb');
});

test('the badge stays when the application writes a new title, and goes without a trace', async () => {
  document.title = 'a.ipynb - JupyterLab';
  const badge = new TitleBadge(document);
  badge.show('(3) ');
  expect(document.title).toBe('(3) a.ipynb - JupyterLab');
  document.title = 'b.ipynb - JupyterLab';
  await told();
  expect(document.title).toBe('(3) b.ipynb - JupyterLab');
  badge.show('(2) ');
  expect(document.title).toBe('(2) b.ipynb - JupyterLab');
  badge.dispose();
  expect(document.title).toBe('b.ipynb - JupyterLab');
});
