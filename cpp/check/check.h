// Is this state one that an engine may trust? The rules are those of docs/file-format.md; their
// slow twin is python/annx/_check.py.
#pragma once

#include <cstddef>
#include <optional>

#include "check/find.h"
#include "check/rows.h"
#include "storage/state.h"

namespace annx {

struct StateFormat {
  RowFormat rows;
  std::optional<RowFormat> originals;  // the vectors kept beside the codes
  std::size_t M = 0;
};

// Arrays have the sizes that follow from the format. Throws FormatError, which says which part is
// wrong and where. With `spanning`, the tree of level 0 must lead to every row.
void check_state(const StateFormat& format, const StateView& state, bool spanning,
                 const Work& work);

}  // namespace annx
