// Renders markdown as JupyterLab does before it sanitises: argv[2] is the folder of its packages, stdin a JSON list.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

globalThis.navigator ??= { appName: '' };
const load = name => import(pathToFileURL(`${process.argv[2]}/${name}`).href);
const { removeMath, replaceMath } = await load('@jupyterlab/rendermime/lib/latex.js');
const { marked } = await load('marked/lib/marked.esm.js');
const { gfmHeadingId } = await load('marked-gfm-heading-id/src/index.js');
marked.use(gfmHeadingId());

const rendered = JSON.parse(readFileSync(0, 'utf8')).map(source => {
  const { text, math } = removeMath(source);
  return replaceMath(marked(text, { gfm: true }), math);
});
process.stdout.write(JSON.stringify(rendered));
