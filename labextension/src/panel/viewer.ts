/** Shows an artifact in a tab, as text or as a picture and never as anything that runs. It knows no task. */
import { MainAreaWidget } from '@jupyterlab/apputils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { Widget } from '@lumino/widgets';

import { orchestraIcon } from '../icon';
import type { IArtifactLine } from '../protocol';

const LARGEST = 16 << 20; // bytes that a tab shows
const LONGEST = 1 << 20; // characters of a text that a tab shows
const WIDEST = 100; // columns of a table, and ten times as many rows
const PICTURES: ReadonlySet<string> = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/bmp']);
const TEXTS = /^text\/|[/+](json|xml|yaml|toml|csv|javascript|x-sh|x-python|x-ndjson|x-ipynb\+json)$/;

/** Whether a tab can show it; what it can't is there to download. */
export function canOpen({ mime, size }: IArtifactLine): boolean {
  return size <= LARGEST && (PICTURES.has(mime) || mime === 'image/svg+xml' || TEXTS.test(mime));
}

/** A tab with the artifact. `registry` draws what nobody vouches for. */
export async function createViewer(
  artifact: IArtifactLine,
  bytes: Uint8Array,
  registry: IRenderMimeRegistry
): Promise<MainAreaWidget> {
  const isPicture = PICTURES.has(artifact.mime);
  const content = isPicture ? await drawPicture(artifact, bytes, registry) : drawText(artifact, bytes);
  content.addClass('jp-OrchestraArtifact');
  const viewer = new MainAreaWidget({ content });
  viewer.toolbar.hide();
  content.node.setAttribute('aria-label', artifact.name);
  content.node.tabIndex = 0;
  viewer.title.label = artifact.name.split('/').pop() ?? artifact.name;
  viewer.title.caption = artifact.name;
  viewer.title.icon = orchestraIcon;
  return viewer;
}

async function drawPicture(
  { name, mime }: IArtifactLine,
  bytes: Uint8Array,
  registry: IRenderMimeRegistry
): Promise<Widget> {
  const renderer = registry.createRenderer(mime);
  await renderer.renderModel(registry.createModel({ data: { [mime]: encode(bytes) } }));
  renderer.node.querySelector('img')?.setAttribute('alt', name);
  return renderer;
}

function drawText({ mime }: IArtifactLine, bytes: Uint8Array): Widget {
  const text = new TextDecoder().decode(bytes);
  if (mime === 'text/csv' || mime === 'text/tab-separated-values') {
    return drawTable(text, mime === 'text/csv' ? ',' : '\t');
  }
  const pre = document.createElement('pre');
  pre.textContent = clip(mime.endsWith('json') ? indent(text) : text);
  const widget = new Widget();
  widget.node.append(pre);
  return widget;
}

function drawTable(text: string, separator: string): Widget {
  const [head = [], ...rows] = readTable(text, separator, WIDEST * 10 + 1);
  const table = document.createElement('table');
  const addRow = (parent: HTMLElement, cells: readonly string[], tag: 'th' | 'td') => {
    const row = parent.appendChild(document.createElement('tr'));
    for (const cell of cells.slice(0, WIDEST)) {
      row.appendChild(document.createElement(tag)).textContent = cell;
    }
  };
  addRow(table.createTHead(), head, 'th');
  const body = table.createTBody();
  rows.forEach(row => addRow(body, row, 'td'));
  const widget = new Widget();
  widget.addClass('jp-RenderedHTMLCommon');
  widget.node.append(table);
  return widget;
}

/** The first rows of a table with quoted cells (RFC 4180). */
export function readTable(text: string, separator: string, most: number): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = '';
  let isQuoted = false;
  const endRow = () => {
    rows.push([...row, cell]);
    row = [];
    cell = '';
  };
  for (let at = 0; at < text.length && rows.length < most; at++) {
    const character = text[at]!;
    if (isQuoted) {
      if (character !== '"') {
        cell += character;
      } else if (text[at + 1] === '"') {
        cell += text[++at];
      } else {
        isQuoted = false;
      }
    } else if (character === '"' && cell === '') {
      isQuoted = true;
    } else if (character === separator) {
      row.push(cell);
      cell = '';
    } else if (character === '\n') {
      endRow();
    } else if (character !== '\r') {
      cell += character;
    }
  }
  if (rows.length < most && (cell !== '' || row.length > 0)) {
    endRow();
  }
  return rows;
}

function indent(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function clip(text: string): string {
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}\n…`;
}

function encode(bytes: Uint8Array): string {
  let binary = '';
  for (let at = 0; at < bytes.length; at += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(binary);
}
