#include "common/base/progress.h"
