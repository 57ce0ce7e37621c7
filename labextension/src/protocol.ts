/** Made from jupyter_orchestra/core/wire.py by jupyter_orchestra/core/typescript.py: change it there. */
/* eslint-disable */
export const PROTOCOL = 3;
export const UP = 'jupyter_orchestra.up';
export const DOWN = 'jupyter_orchestra.down';
export const ANNOUNCE = 'jupyter_orchestra.announce';
export const CARD_MIME = 'application/vnd.jupyter-orchestra.card+json';

/** The result stands in a saved document (with collaboration: in the shared one). */
export interface IAck {
  type: 'Ack';
  uid: string;
  attempt: number;
}

/** The person wants something done to tasks (uids or names); ``all`` is for cancel, pause and resume. */
export interface IAct {
  type: 'Act';
  request: string;
  action: 'approve' | 'cancel' | 'decline' | 'forget' | 'pause' | 'resume' | 'retry';
  tasks?: string[];
  all?: boolean;
  ended?: boolean;
  digest?: string;
  always?: boolean;
  why?: string;
}

/** To a request: ``ok`` and the tasks concerned, or ``message`` says in one line why not. */
export interface IAnswer {
  type: 'Answer';
  request: string;
  ok: boolean;
  message: string;
  uids: string[];
  names: string[];
}

/** A file of a result; ``size`` in bytes. */
export interface IArtifactLine {
  name: string;
  mime: string;
  size: number;
}

/** The page goes. */
export interface IBye {
  type: 'Bye';
}

/** A task as the sidebar shows it. ``progress`` is from 0 to 1; ``held`` counts paused seconds. */
export interface ICard {
  uid: string;
  name: string;
  worker: string;
  role: string;
  tier: string;
  model: string;
  state: State;
  origin: Origin;
  deliver: Delivery;
  attempt: number;
  version: number;
  order: number;
  dispatched_at: number;
  queued_at: number | null;
  started_at: number | null;
  ended_at: number | null;
  paused_at: number | null;
  held: number;
  lacks: string;
  waits: IWait[];
  after: string[];
  cell: string;
  result_cell: string;
  progress: number | null;
  line: string;
  reason: string;
  needs_you: string;
  question: IQuestion | null;
  stopping: boolean;
  unsandboxed: string;
  stage: Stage | null;
  pausable: boolean;
  steerable: boolean;
  tokens: number | null;
  cost: number | null;
}

/** What the card in a cell's output holds, under CARD_MIME. */
export interface ICardLine {
  uid: string;
  name: string;
  worker: string;
  state: State;
  line: string;
}

/** What changed since the message before; at most 20 messages a second leave a kernel for each page. */
export interface IChanges {
  type: 'Changes';
  seq: number;
  now: number;
  blocked: string;
  cards: ICard[];
  gone: string[];
  master: string | null;
  turn: ITurn | null;
  leases: ILeasePicture | null;
}

/** A piece of a fetched artifact, base64; ``last`` ends it. ``size`` is that of the whole in bytes. */
export interface IChunk {
  type: 'Chunk';
  request: string;
  offset: number;
  size: number;
  data: string;
  last: boolean;
}

/** An offered result: does this page's document hold it, was it deleted by the person, or can it be inserted? */
export interface IClaim {
  type: 'Claim';
  uid: string;
  attempt: number;
  standing: 'absent' | 'deleted' | 'present';
  anchored: boolean;
  round?: number;
}

/** What the person wrote into the composer: a message to the master, or a cell that begins with ``%%dispatch``. */
export interface ICompose {
  type: 'Compose';
  request: string;
  text: string;
}

/** The person began to type a message (in the composer or a conversation cell), or no longer does. */
export interface IComposing {
  type: 'Composing';
  on: boolean;
}

/** When a result reaches the master (design: reintegration). */
export type Delivery = 'idle' | 'now' | 'silent' | 'turn';

/** What the panel of a task shows; again at each change of state. ``outputs`` of an ended task are its result's. */
export interface IDetail {
  type: 'Detail';
  uid: string;
  attempt: number;
  brief: string;
  story: IStep[];
  explanation: string;
  notes: string[];
  artifacts: IArtifactLine[];
  trusted: boolean;
  kind: 'agent' | 'code' | 'master' | 'reply';
  terminal: boolean;
  first: number;
  outputs: { [key: string]: any }[];
}

/** The bytes of an artifact are wanted: they come as :class:`Chunk` messages, and the Answer after them. */
export interface IFetch {
  type: 'Fetch';
  request: string;
  task: string;
  artifact: string;
}

/** This page inserts the cells (each marked with uid, attempt and part), saves, and sends the Ack. Result cells of the same dispatching cell but of another cohort are replaced: one in its place, by name first; when ``last`` (nothing of this cohort is left to come) those that remain go, unless the person edited or pinned them. */
export interface IGrant {
  type: 'Grant';
  uid: string;
  attempt: number;
  cell: string;
  cohort: string;
  last: boolean;
  into: string;
  filled: boolean;
  cells: INewCell[];
}

/** The data of the comm_open on ``up`` (``down`` is opened first, with ``{"client": …}``). */
export interface IHello {
  type: 'Hello';
  client: string;
  protocol: number;
  version: string;
  session: string;
  path: string;
  visible: boolean;
  down: string;
}

/** Someone who has a part of a resource, or waits for it. */
export interface IHolderView {
  name: string;
  uid: string;
  since: number | null;
  what: string;
  state: string;
}

/** Someone who has what is waited for. */
export interface IHolding {
  name: string;
  since: number;
}

/** What a request waits for. */
export interface ILack {
  uid: string;
  missing: string;
  holders: IHolding[];
  more: number;
  elsewhere: string;
  ahead: number;
}

/** What is held or waited for: slots only while somebody waits for them and for nothing else. */
export interface ILeasePicture {
  resources: IResourceView[];
  more: number;
  lacks: ILack[];
}

/** The page's protocol is another: nothing else will be said. */
export interface IMismatch {
  type: 'Mismatch';
  protocol: number;
  version: string;
  message: string;
}

/** A cell to insert, as nbformat has it; ``outputs`` are nbformat outputs, empty for markdown. */
export interface INewCell {
  id: string;
  cell_type: 'code' | 'markdown';
  source: string;
  metadata: { [key: string]: any };
  outputs: { [key: string]: any }[];
  trusted: boolean;
}

/** A result wants a place. Every live page answers with a Claim; one of them gets the Grant. The first time, a page that is alone and shows the dispatching notebook gets the Grant without one. */
export interface IOffer {
  type: 'Offer';
  uid: string;
  attempt: number;
  cell: string;
  into: string;
  round: number;
  cohort: string;
}

/** Who dispatched a task. */
export type Origin = 'master' | 'person' | 'task';

/** More live output of a watched task; ``index`` counts the outputs of the attempt from 0. */
export interface IOutput {
  type: 'Output';
  uid: string;
  attempt: number;
  index: number;
  outputs: { [key: string]: any }[];
}

/** The notebook was renamed, or came to the front or left it. */
export interface IPageChanged {
  type: 'PageChanged';
  path: string;
  visible: boolean;
}

/** Is anyone there? A page that does not answer for 30 s is forgotten, and its comms closed. */
export interface IPing {
  type: 'Ping';
}

/** The answer to :class:`Ping`. */
export interface IPong {
  type: 'Pong';
}

/** A message of the page was unknown or malformed. */
export interface IProblem {
  type: 'Problem';
  message: string;
}

/** What a task asks the person: the answer names the digest, so that it is an answer to this very action. */
export interface IQuestion {
  action: string;
  detail: string;
  digest: string;
  proposal: boolean;
  more: number;
}

/** The terminal of a running attempt is shown in another size, in characters. */
export interface IResize {
  type: 'Resize';
  task: string;
  attempt: number;
  rows: number;
  columns: number;
}

/** One resource. */
export interface IResourceView {
  name: string;
  used: number;
  capacity: number | null;
  holders: IHolderView[];
  waiting: IHolderView[];
  slots: boolean;
  more_holders: number;
  more_waiting: number;
}

/** All tasks, in the order of dispatch; the first message to each page, and again when it may have missed one. */
export interface ISnapshot {
  type: 'Snapshot';
  seq: number;
  protocol: number;
  version: string;
  now: number;
  private: boolean;
  blocked: string;
  workers: string[];
  master: string;
  turn: ITurn | null;
  leases: ILeasePicture;
  cards: ICard[];
}

/** How far a result has come on its way to the person and the master. */
export type Stage = 'discussed' | 'in_context' | 'queued' | 'shown' | 'superseded';

/** Where a task stands. */
export type State = 'cancelled' | 'done' | 'failed' | 'lost' | 'paused' | 'queued' | 'running' | 'waiting';

/** A message of the person to one worker. */
export interface ISteer {
  type: 'Steer';
  request: string;
  task: string;
  text: string;
}

/** One line of a task's story. */
export interface IStep {
  at: number;
  state: State;
  reason: string;
  leases: boolean;
}

/** More of what a watched terminal shows, escape sequences and all; what does not go on from before begins anew. */
export interface ITerminal {
  type: 'Terminal';
  uid: string;
  attempt: number;
  start: number;
  end: number;
  text: string;
}

/** The newest turn of the master; ``text`` is the end of its reply so far, as plain text. */
export interface ITurn {
  number: number;
  state: TurnState;
  wake: boolean;
  text: string;
  note: string;
  cell: string;
}

/** The person wants the master's running turn stopped, or the one that failed to go on. */
export interface ITurnAct {
  type: 'TurnAct';
  request: string;
  action: 'retry' | 'stop';
}

/** Where a turn of the master stands. */
export type TurnState = 'done' | 'failed' | 'running' | 'stopped';

/** The person types into the terminal of a running attempt, at most 64 kB at once; it may be a password. */
export interface IType {
  type: 'Type';
  request: string;
  task: string;
  attempt: number;
  text: string;
}

/** A time of waiting; it still goes on where it has no end. */
export interface IWait {
  since: number;
  until: number | null;
}

/** A panel of that task is open (or no longer): answered by :class:`Detail`, then :class:`Output` as it comes. */
export interface IWatch {
  type: 'Watch';
  task: string;
  on?: boolean;
}

export type ToKernel = IHello | IPageChanged | IPong | IAct | ISteer | ICompose | IComposing | ITurnAct | IWatch | IType | IResize | IFetch | IClaim | IAck | IBye;

export type ToPage = ISnapshot | IChanges | IMismatch | IAnswer | IProblem | IDetail | IOutput | ITerminal | IChunk | IOffer | IGrant | IPing;
