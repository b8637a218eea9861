#include "common/base/str.h"
