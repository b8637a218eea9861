/* steps.jsonl: added to line by line, read as a whole. */
#ifndef LCF_OFFLINE_NIGHT_LEDGER_H
#define LCF_OFFLINE_NIGHT_LEDGER_H

#include "common/base/status.h"

#include <jansson.h>

/* One line, in one write. errors: EIO */
lcf_status ledger_add(const char *night_dir, const json_t *line, lcf_err *err);

/* An array of all lines; empty when there is no ledger. The last line may have been cut by a crash;
 * it is left out. errors: EFORMAT another line is no object */
lcf_status ledger_read(json_t **out, const char *night_dir, lcf_err *err);

#endif
