/** The conversation with one worker, drawn by @jupyter/chat. Nothing else knows that package. */
import '@jupyter/chat/style/index.css';

import type { IChatContext, INewMessage, IUser } from '@jupyter/chat';
import { AbstractChatContext, AbstractChatModel, ChatWidget, InputToolbarRegistry } from '@jupyter/chat';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { UUID } from '@lumino/coreutils';
import type { Widget } from '@lumino/widgets';

const SCROLLER = '[id^=jupyter-chat-scroll-container]';

/** What someone said: markdown, and POSIX seconds. `id` tells a message that is said again from a new one. */
export interface IWorkerMessage {
  id: string;
  text: string;
  at: number;
}

/** Sends a message to the worker; answers with why not, or with nothing. */
export type Steer = (text: string) => Promise<string>;

class ConversationContext extends AbstractChatContext {
  get users(): IUser[] {
    return [];
  }
}

/** What the person and one worker say to each other. */
export class WorkerConversation extends AbstractChatModel {
  readonly user: IUser;

  constructor(
    worker: string,
    private _steer: Steer,
    private _trans: TranslationBundle
  ) {
    super({ config: { enableCodeToolbar: false, sendTypingNotification: false } });
    this.name = worker;
    this.user = { username: 'person', display_name: _trans.__('You') };
    this._worker = { username: worker, display_name: worker, bot: true };
    this._orchestra = { username: 'orchestra', display_name: 'Orchestra', bot: true };
    this.setReady();
  }

  createChatContext(): IChatContext {
    return new ConversationContext({ model: this });
  }

  /** Shown at once; what is refused goes back into the box, and why is said. */
  async sendMessage(message: INewMessage): Promise<boolean> {
    this._show(message.id ?? UUID.uuid4(), message.body, Date.now() / 1000, this.user);
    const refusal = await this._steer(message.body);
    if (refusal === '') {
      return true;
    }
    this._show(UUID.uuid4(), this._trans.__('Not sent: %1', refusal), Date.now() / 1000, this._orchestra);
    this.input.value = this.input.value || message.body;
    return false;
  }

  /** The worker said something. */
  said(message: IWorkerMessage): void {
    this._show(message.id, message.text, message.at, this._worker);
  }

  private _show(id: string, body: string, time: number, sender: IUser): void {
    this.messageAdded({ type: 'msg', id, body, time, sender });
  }

  private _worker: IUser;
  private _orchestra: IUser;
}

/** The conversation as a widget. `registry` must be one that trusts nothing. */
export function createConversation(
  model: WorkerConversation,
  registry: IRenderMimeRegistry,
  trans: TranslationBundle
): Widget {
  const toolbar = InputToolbarRegistry.defaultToolbarRegistry();
  toolbar.hide('attach');
  const widget = new ChatWidget({ model, rmRegistry: registry, inputToolbarRegistry: toolbar, area: 'main' });
  widget.addClass('jp-OrchestraPanel-chat');
  showLatest(model, widget.node);
  nameParts(widget.node, trans.__('Message to %1', model.name), trans.__('Messages'));
  return widget;
}

/** What the person says, and what is answered to it at once, is brought into view; scrolling ends that. */
function showLatest(model: WorkerConversation, node: HTMLElement): void {
  let isWanted = false;
  model.messagesUpdated.connect(() => {
    isWanted = model.messages[model.messages.length - 1]?.sender.username !== model.name;
  });
  node.addEventListener('wheel', () => (isWanted = false), { passive: true });
  const scroll = () => {
    const scroller = node.querySelector(SCROLLER);
    if (isWanted && scroller !== null) {
      scroller.scrollTop = scroller.scrollHeight;
    }
  };
  new MutationObserver(scroll).observe(node, { childList: true, subtree: true });
}

/** Names and reach that the package leaves out, for those who can't see or use no mouse. */
function nameParts(node: HTMLElement, label: string, log: string): void {
  const name = () => {
    for (const box of node.querySelectorAll<HTMLTextAreaElement>('textarea:not([aria-hidden])')) {
      set(box, 'placeholder', label);
      set(box, 'aria-label', label);
      // It has no list to choose from, so it is no combobox.
      ['role', 'aria-expanded', 'aria-autocomplete'].forEach(attribute => box.removeAttribute(attribute));
    }
    for (const button of node.querySelectorAll('jp-button[title]')) {
      set(button, 'aria-label', button.getAttribute('title')!);
    }
    for (const scroller of node.querySelectorAll(SCROLLER)) {
      set(scroller, 'tabindex', '0');
      set(scroller, 'role', 'log');
      set(scroller, 'aria-label', log);
    }
  };
  const attributeFilter = ['placeholder', 'role', 'aria-expanded', 'aria-autocomplete'];
  new MutationObserver(name).observe(node, { childList: true, subtree: true, attributeFilter });
  name();
}

function set(node: Element, attribute: string, value: string): void {
  if (node.getAttribute(attribute) !== value) {
    node.setAttribute(attribute, value);
  }
}
