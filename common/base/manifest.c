#include "common/base/manifest.h"
