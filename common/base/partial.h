/*
 * Partial: the folder OUT.partial, where a step keeps the parts of OUT that are finished, so that a
 * stopped run is gone on with. Invariant: its parts are of one identity (its manifest), and one
 * process at a time works on it (an exclusive flock on the folder).
 */
#ifndef LCF_COMMON_BASE_PARTIAL_H
#define LCF_COMMON_BASE_PARTIAL_H

#include "common/base/manifest.h"

typedef struct lcf_partial lcf_partial;

/*
 * Opens the folder that an earlier run left, if it was begun for what `m` describes and not
 * `fresh`, else an empty one in its place.
 *
 * artefact  OUT
 * errors    EBUSY another process is still at work on it after two seconds; those of files
 */
lcf_status lcf_partial_open(lcf_partial **out, const char *artefact, lcf_manifest *m, bool fresh,
                            lcf_err *err);
const char *lcf_partial_path(const lcf_partial *p);
/* OUT has all of it now: removes the folder; `p` is still to be closed. */
lcf_status lcf_partial_remove(lcf_partial *p, lcf_err *err);
void lcf_partial_close(lcf_partial *p); /* NULL is fine; what is in the folder stays */
/* Removes the folder if its parts are of the artefact, older than it, and nobody's: the run that
 * made the artefact was killed before it could. Any other folder of that name stays. */
void lcf_partial_remove_leftover(const char *artefact);

#endif
