/*
 * The kernel's own list says what is mapped, whoever has mapped it. It is asked for the pages, not
 * read from: a map may be longer than its file, as LMDB's are, and reading there is a bus error.
 */
#include "online/server/prefault.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

void lcf_prefault(const char *folder)
{
    const size_t folder_n = strlen(folder);
    FILE *maps = fopen("/proc/self/maps", "re");
    char *line = NULL;
    size_t capacity = 0;

    while (maps && getline(&line, &capacity, maps) > 0) {
        uintptr_t from, to;
        char readable;
        int path = 0;

        /* 7f1c-7f1d r--s 00000000 08:01 1234   /path */
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %c%*3s %*x %*s %*u %n", &from, &to, &readable,
                   &path) == 3 &&
            path && readable == 'r' && !strncmp(line + path, folder, folder_n) &&
            line[(size_t)path + folder_n] == '/')
            (void)madvise((void *)from, (size_t)(to - from), MADV_POPULATE_READ);
    }
    free(line);
    if (maps)
        fclose(maps);
}
