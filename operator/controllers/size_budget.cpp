#include "operator/controllers/size_budget.h"

#include <algorithm>

#include "common/base/encoding.h"

namespace envicutor::op {
namespace {

size_t EscapedSize(unsigned char c) {
  switch (c) {
    case '"':
    case '\\':
    case '\n':
    case '\r':
    case '\t':
      return 2;
    case '<':
    case '>':
    case '&':
    case 0x7f:
      return 6;
    default:
      return c < 0x20 ? 6 : 1;
  }
}

// How many bytes of `data` take at most `limit` stored bytes.
size_t PrefixFor(std::string_view data, size_t limit, bool utf8) {
  if (!utf8) return std::min(data.size(), limit / 4 * 3);
  size_t used = 0;
  for (size_t i = 0; i < data.size(); ++i) {
    used += EscapedSize(static_cast<unsigned char>(data[i]));
    if (used > limit) return i;
  }
  return data.size();
}

}  // namespace

std::vector<OutputSlot> OutputsOf(api::StageResult* stage) {
  return {{&stage->stdout_data, &stage->stdout_truncated},
          {&stage->stderr_data, &stage->stderr_truncated}};
}

std::vector<OutputSlot> OutputsOf(api::RunResult* result) {
  std::vector<OutputSlot> slots;
  const auto add = [&](std::optional<api::StageResult>& stage) {
    if (!stage.has_value()) return;
    for (const OutputSlot& slot : OutputsOf(&*stage)) slots.push_back(slot);
  };
  add(result->extract);
  add(result->compile);
  add(result->run);
  for (api::TestResult& test : result->tests) add(test.run);
  for (api::OutputFile& file : result->output_files)
    slots.push_back({&file.content, &file.truncated});
  return slots;
}

size_t StoredSize(std::string_view data) {
  if (!IsUtf8(data)) return (data.size() + 2) / 3 * 4;
  size_t size = 0;
  for (const char c : data) size += EscapedSize(static_cast<unsigned char>(c));
  return size;
}

size_t StoredObjectSize(const Json& object) {
  const std::string text = DumpJson(object);
  const auto escaped = std::count_if(text.begin(), text.end(),
                                     [](char c) { return c == '<' || c == '>' || c == '&'; });
  return text.size() + 5 * static_cast<size_t>(escaped);
}

void FitOutputs(const std::vector<OutputSlot>& outputs, size_t budget) {
  std::vector<size_t> sizes;
  size_t total = 0;
  for (const OutputSlot& slot : outputs) {
    sizes.push_back(StoredSize(*slot.data));
    total += sizes.back();
  }
  if (total <= budget) return;
  // The largest common length L with sum(min(size, L)) <= budget: the small ones are paid first.
  std::vector<size_t> sorted = sizes;
  std::sort(sorted.begin(), sorted.end());
  size_t left = budget;
  size_t length = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const size_t share = left / (sorted.size() - i);
    if (sorted[i] > share) {
      length = share;
      break;
    }
    left -= sorted[i];
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (sizes[i] <= length) continue;
    std::string& data = *outputs[i].data;
    const size_t keep = PrefixFor(data, length, IsUtf8(data));
    data.resize(Utf8Prefix(data, keep).size());
    *outputs[i].truncated = true;
  }
}

}  // namespace envicutor::op
