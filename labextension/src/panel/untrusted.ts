/** Draws what nobody vouches for: nothing runs, nothing loads, nothing looks like a part of the page. */
import { Sanitizer } from '@jupyterlab/apputils';
import type { IRenderMime, IRenderMimeRegistry } from '@jupyterlab/rendermime';
import {
  errorRendererFactory,
  htmlRendererFactory,
  imageRendererFactory,
  markdownRendererFactory,
  RenderMimeRegistry,
  textRendererFactory
} from '@jupyterlab/rendermime';

const LINKS = /^(https?:|mailto:)/i;
const KEPT: ReadonlySet<string> = new Set(['colspan', 'rowspan', 'scope', 'href', 'start', 'open', 'align', 'title']);
const GONE = [
  'img,picture,source,audio,video,track,canvas,map,area,iframe,object,embed,style,link',
  'button,input,select,textarea,form'
].join();

/** JupyterLab's sanitizer, and after it only text, tables and links to the web are left. */
class StrictSanitizer extends Sanitizer {
  constructor() {
    super();
    this.setAllowCommandLinker(false);
    this.setAutolink(false);
  }

  override sanitize(dirty: string, options?: IRenderMime.ISanitizerOptions): string {
    const page = new DOMParser().parseFromString(super.sanitize(dirty, options), 'text/html');
    page.body.querySelectorAll(GONE).forEach(node => node.remove());
    page.body.querySelectorAll('*').forEach(strip);
    page.body.querySelectorAll('h1,h2,h3,h4,h5,h6').forEach(lower);
    return page.body.innerHTML;
  }
}

function strip(node: Element): void {
  for (const { name, value } of [...node.attributes]) {
    if (!KEPT.has(name) || (name === 'href' && !LINKS.test(value.trim()))) {
      node.removeAttribute(name);
    }
  }
  if (node.hasAttribute('href')) {
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer');
  }
}

/** A heading of what was made stands below those of the page. */
function lower(heading: Element): void {
  const level = Math.min(Number(heading.tagName[1]) + 3, 6);
  const lowered = heading.ownerDocument.createElement(`h${level}`);
  lowered.append(...heading.childNodes);
  heading.replaceWith(lowered);
}

/** Only pictures that are pixels: they come as data, not from an address. */
const pixelsRendererFactory: IRenderMime.IRendererFactory = {
  ...imageRendererFactory,
  mimeTypes: ['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/bmp']
};

/** Draws what a model, or anything else that is not the person's own code, has made. */
export function createUntrustedRegistry(rendermime: IRenderMimeRegistry): IRenderMimeRegistry {
  return new RenderMimeRegistry({
    initialFactories: [
      pixelsRendererFactory,
      htmlRendererFactory,
      markdownRendererFactory,
      errorRendererFactory,
      textRendererFactory
    ],
    sanitizer: new StrictSanitizer(),
    markdownParser: rendermime.markdownParser ?? undefined
  });
}
