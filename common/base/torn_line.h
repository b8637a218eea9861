/*
 * Files of lines that grow at their end: what a crash or a full disk leaves there.
 */
#ifndef LCF_COMMON_BASE_TORN_LINE_H
#define LCF_COMMON_BASE_TORN_LINE_H

#include <stdbool.h>

/*
 * Takes away a last line without its end, in which the next one would go on; fd is open for reading
 * and writing, and nobody else writes the file meanwhile. False: errno says why.
 */
bool lcf_cut_torn_line(int fd);

#endif
