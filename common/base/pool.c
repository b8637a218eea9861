#include "common/base/pool.h"
