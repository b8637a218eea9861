#include "common/base/bundle.h"
