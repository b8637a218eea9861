/* make_world DIR: the artefacts of tests/unit/rank/world.h, for shell tests of publish, rank and
 * serve. */
#include "tests/unit/rank/world.h"

#include "common/base/file.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    const world_options options = WORLD_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;

    if (argc != 2) {
        fprintf(stderr, "usage: make_world DIR\n");
        return 2;
    }
    if (lcf_dir_create(argv[1], &err) || world_write(argv[1], &options, &err)) {
        fprintf(stderr, "make_world: %s\n", err.text);
        return 1;
    }
    return 0;
}
