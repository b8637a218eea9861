/* libsystemd behind one header. */
#include "online/cmd/service.h"

#ifdef LCF_SYSTEMD

#include "common/base/progress.h"

#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

lcf_status lcf_service_sockets(int fds[LCF_SERVICE_SOCKETS_MAX], size_t *n, lcf_err *err)
{
    const int given = sd_listen_fds(1);

    *n = 0;
    if (given < 0)
        return LCF_FAIL(err, LCF_EIO, "sockets of the service manager: %s", strerror(-given));
    if (given > LCF_SERVICE_SOCKETS_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "%d sockets were handed over; at most %d are taken", given,
                        LCF_SERVICE_SOCKETS_MAX);
    for (int i = 0; i < given; i++) {
        fds[i] = SD_LISTEN_FDS_START + i;
        if (sd_is_socket(fds[i], AF_UNSPEC, SOCK_STREAM, 1) <= 0)
            return LCF_FAIL(err, LCF_EINVAL, "socket %d that was handed over listens to no streams",
                            i);
        ++*n;
    }
    return LCF_OK;
}

void lcf_service_ready(void)
{
    sd_notify(0, "READY=1");
}

void lcf_service_reloading(void)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, lcf_clock_ns() / 1000);
}

void lcf_service_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void lcf_service_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}

double lcf_service_watchdog_s(void)
{
    uint64_t us;

    return sd_watchdog_enabled(0, &us) > 0 ? (double)us / 1e6 : 0.0;
}

#else

lcf_status lcf_service_sockets(int fds[LCF_SERVICE_SOCKETS_MAX], size_t *n, lcf_err *err)
{
    (void)fds;
    (void)err;
    *n = 0;
    return LCF_OK;
}

void lcf_service_ready(void)
{
}

void lcf_service_reloading(void)
{
}

void lcf_service_stopping(void)
{
}

void lcf_service_alive(void)
{
}

double lcf_service_watchdog_s(void)
{
    return 0.0;
}

#endif
