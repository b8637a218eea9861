#include "common/base/cli.h"
