/** Knows where the person types a message to the master, and says when that begins and when it is over. */

/** Milliseconds without a key after which the person no longer types. */
const PAUSE = 3000;

export class Composing {
  /** `tell` hears of changes alone. */
  constructor(private readonly _tell: (on: boolean) => void) {}

  /** The person has changed a message at that place. */
  typed(place: string): void {
    clearTimeout(this._places.get(place));
    const before = this._places.size;
    this._places.set(
      place,
      setTimeout(() => this.left(place), PAUSE)
    );
    if (before === 0) {
      this._tell(true);
    }
  }

  /** It was sent or emptied, or the person went elsewhere. */
  left(place: string): void {
    clearTimeout(this._places.get(place));
    if (this._places.delete(place) && this._places.size === 0) {
      this._tell(false);
    }
  }

  private _places = new Map<string, ReturnType<typeof setTimeout>>();
}
