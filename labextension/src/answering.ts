/** Asks the person, in a dialog that shows the exact action, how a task's question is to be answered. */
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import type { Verdict } from './actions';
import type { ICard, IQuestion } from './protocol';
import { verdictWord } from './question';
import { asking } from './words';

/** What the person says: the verdict stands, and why; null when they say nothing. */
export async function confirmAnswer(
  card: ICard,
  question: IQuestion,
  verdict: Verdict,
  trans: TranslationBundle
): Promise<string | null> {
  const label = verdictWord(verdict, trans);
  const accept = verdict === 'decline' ? Dialog.warnButton({ label }) : Dialog.okButton({ label });
  const result = await showDialog({
    title: trans.__('Task %1', card.name),
    body: new Body(question, verdict, trans),
    buttons: [Dialog.cancelButton(), accept]
  });
  return result.button.accept ? (result.value ?? '') : null;
}

class Body extends Widget implements Dialog.IBodyWidget<string> {
  constructor(question: IQuestion, verdict: Verdict, trans: TranslationBundle) {
    super();
    this.addClass('jp-Orchestra-answer');
    const said = document.createElement('p');
    said.textContent = asking(question, trans);
    this.node.append(said);
    if (question.detail !== '') {
      const detail = document.createElement('pre');
      detail.textContent = question.detail;
      detail.tabIndex = 0;
      detail.setAttribute('role', 'group');
      detail.setAttribute('aria-label', trans.__('Exact action'));
      this.node.append(detail);
    }
    if (verdict === 'decline') {
      this._why.placeholder = trans.__('Why (the worker is told)');
      this._why.setAttribute('aria-label', this._why.placeholder);
      this._why.className = 'jp-mod-styled';
      this.node.append(this._why);
    }
  }

  getValue(): string {
    return this._why.value;
  }

  private _why = document.createElement('input');
}
