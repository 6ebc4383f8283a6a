/** Settings as fields: label, description, default if empty, and what is wrong with the input. */
import { type Field, GROUPS, type Values, type Wrong } from './form.js';

interface Props {
  readonly values: Values;
  /** The complete values the engine would use, if all are valid. */
  readonly complete: Values | undefined;
  readonly wrong: Wrong | undefined;
  readonly onValue: (name: string, value: string) => void;
}

export function SettingField({ field, values, complete, wrong, onValue }: Props & { field: Field }) {
  const { name, label, about, otherwise, choices } = field;
  const message = wrong?.field === name ? wrong.message : undefined;
  const shared = {
    id: name,
    'aria-describedby': `${name}-help`,
    'aria-invalid': message !== undefined,
  };
  return (
    <div class="field">
      <label for={name}>{label}</label>
      {choices ? (
        <select
          {...shared}
          value={values[name] || complete?.[name]}
          onChange={(event) => onValue(name, event.currentTarget.value)}
        >
          {choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : (
        <input
          {...shared}
          inputMode="decimal"
          autocomplete="off"
          placeholder={complete?.[name]}
          value={values[name]}
          onInput={(event) => onValue(name, event.currentTarget.value)}
        />
      )}
      <span class={message ? 'wrong' : 'help'} id={`${name}-help`}>
        {message ?? `${about}${otherwise ? `; empty: ${otherwise}` : ''}`}
      </span>
    </div>
  );
}

export const AllSettings = (props: Props) => (
  <div class="view settings">
    {GROUPS.map(({ title, fields }) => (
      <fieldset key={title}>
        <legend>{title}</legend>
        <div class="fields">
          {fields.map((field) => (
            <SettingField key={field.name} field={field} {...props} />
          ))}
        </div>
      </fieldset>
    ))}
  </div>
);
