/* The report as Markdown. */
#include "offline/eval/report.h"

static const char *const TITLES[LCF_REPORT_TABLES_N] = {
    [LCF_TABLE_GATE] = "Gate",   [LCF_TABLE_MEASURES] = "Measures", [LCF_TABLE_SLICES] = "Slices",
    [LCF_TABLE_SEEDS] = "Seeds", [LCF_TABLE_BINS] = "Calibration",
};

void lcf_report_markdown(lcf_buf *out, const lcf_report *report)
{
    lcf_buf_printf(out, "# %s against %s\n\n**", report->arm_name[1], report->arm_name[0]);
    lcf_report_verdict(out, report);
    lcf_buf_append_text(out, "**");
    if (report->conditions_n)
        lcf_buf_printf(out, " Gate: **%s**.", report->passed ? "passed" : "not passed");
    lcf_buf_append_text(out, "\n\n");
    lcf_report_method(out, report);
    for (size_t table = 0; table < LCF_REPORT_TABLES_N; table++) {
        lcf_grid g;
        lcf_status status = lcf_report_grid(&g, report, (lcf_report_table)table);
        if (status)
            out->status = status;
        if (g.rows_n) {
            lcf_buf_printf(out, "\n## %s\n\n", TITLES[table]);
            lcf_grid_markdown(out, &g);
        }
        lcf_grid_dispose(&g);
    }
}
