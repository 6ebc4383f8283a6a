/** A link to the report of a run, on a page of its own (report.ts). */
export const ReportLink = ({ id, label, children }: { id: string; label?: string; children: string }) => (
  <a class="button" href={`./report.html?run=${id}`} target="_blank" rel="noopener" aria-label={label}>
    {children}
  </a>
);
