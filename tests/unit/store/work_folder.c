/* A folder for a group of tests: see work_folder.h. */
#include "tests/unit/store/work_folder.h"

#include "common/base/file.h"

#include <stdlib.h>
#include <unistd.h>

static char work[] = "/dev/shm/lcf-store-XXXXXX";
static char home[4096];

int work_folder_enter(void **state)
{
    (void)state;
    if (!getcwd(home, sizeof(home)))
        return -1;
    if (mkdtemp(work) && chdir(work))
        return -1;
    return 0;
}

int work_folder_leave(void **state)
{
    (void)state;
    if (chdir(home))
        return -1;
    return lcf_path_exists(work) ? lcf_dir_remove(work, NULL) : 0;
}
