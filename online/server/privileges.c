/* Groups first, then the group, then the user: in any other order the right to do the next is gone.
 */
#include "online/server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

lcf_status lcf_user_find(lcf_user *out, const char *name, lcf_err *err)
{
    const struct passwd *entry = getpwnam(name);

    if (!entry)
        return LCF_FAIL(err, LCF_EINVAL, "there is no user '%s'", name);
    *out = (lcf_user){.uid = entry->pw_uid, .gid = entry->pw_gid};
    snprintf(out->name, sizeof(out->name), "%s", name);
    return LCF_OK;
}

lcf_status lcf_user_become(const lcf_user *user, lcf_err *err)
{
    if (getuid() == user->uid && geteuid() == user->uid)
        return LCF_OK;
    if (initgroups(user->name, user->gid) || setresgid(user->gid, user->gid, user->gid) ||
        setresuid(user->uid, user->uid, user->uid))
        return LCF_FAIL_ERRNO(err, "cannot become the user %s", user->name);
    if (user->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
        return LCF_FAIL(err, LCF_EIO, "the rights of root cannot be given up");
    return LCF_OK;
}
