/** One of a few choices, as a card. */
interface Props {
  /** Name of the group. */
  readonly name: string;
  readonly value: string;
  readonly title: string;
  readonly about: string;
  readonly chosen: boolean;
  readonly onChoice: (value: string) => void;
}

export const Choice = ({ name, value, title, about, chosen, onChoice }: Props) => (
  <label class="choice">
    <input type="radio" name={name} value={value} checked={chosen} onChange={() => onChoice(value)} />
    <span>{title}</span>
    <span class="about">{about}</span>
  </label>
);
