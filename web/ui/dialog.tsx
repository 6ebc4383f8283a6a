/** A confirmation dialog: Escape and Cancel change nothing. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

interface Props {
  readonly title: string;
  /** The action, as the label of its button. */
  readonly action: string;
  readonly danger?: boolean;
  readonly children?: ComponentChildren;
  readonly onAction: () => void;
  readonly onClose: () => void;
}

export function Dialog({ title, action, danger, children, onAction, onClose }: Props) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current?.showModal(), []);
  return (
    <dialog ref={box} aria-labelledby="dialog-title" onClose={onClose}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          onAction();
          onClose();
        }}
      >
        <h2 id="dialog-title">{title}</h2>
        {children}
        <div class="row">
          <button type="submit" class={danger ? 'danger' : 'primary'}>
            {action}
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </dialog>
  );
}
