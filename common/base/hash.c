#include "common/base/hash.h"
