"""Progress of a fit: a bar on a terminal, a line per step elsewhere; both end as a table."""

from subquad._command.report import STEP_HEADER, step_row


class Progress:
    """A trainer's callback. On a terminal the table is printed at the end, in place of the bar."""

    def __init__(self, report, max_steps):
        self.report = report
        self.records = []
        self.bar = _bar(report.stream, max_steps)

    def __call__(self, record):
        """Show one finished step."""
        self.records.append(record)
        if self.bar is not None:
            self.bar.set_postfix_str(f"|r|/|r0| {record.relative_residual:.2e}", refresh=False)
            self.bar.update()
        else:
            if len(self.records) == 1:
                self.report.line(STEP_HEADER)
            self.report.line(step_row(record))

    def close(self):
        """Remove the bar and print the table it stood for."""
        if self.bar is None:
            return
        self.bar.close()
        self.bar = None
        self.report.line(STEP_HEADER)
        for record in self.records:
            self.report.line(step_row(record))


def _bar(stream, max_steps):
    """Return a tqdm bar, or None where the stream is no terminal or tqdm is not installed."""
    if not stream.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=max_steps, desc="fitting", unit="step", file=stream, leave=False)
