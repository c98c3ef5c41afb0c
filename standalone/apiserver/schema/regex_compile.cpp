// Syntax tree -> instructions.
#include <algorithm>
#include <memory>

#include "standalone/apiserver/schema/regex.h"
#include "standalone/apiserver/schema/regex_program.h"
#include "standalone/apiserver/schema/regex_tree.h"

namespace envicutor::standalone::schema {
namespace {

using regex::Node;
using regex::NodePtr;

constexpr size_t kMaxPatternBytes = 8U << 10U;
constexpr size_t kMaxInstructions = 20'000;

using Op = RegexInstruction::Op;

class Emitter {
 public:
  // False when the program would be too large.
  bool Emit(const Node& node) {
    if (code_.size() > kMaxInstructions) return false;
    switch (node.kind) {
      case Node::Kind::kEmpty:
        return true;
      case Node::Kind::kSet: {
        RegexInstruction in;
        in.op = Op::kSet;
        in.ranges = node.ranges;
        in.negated = node.negated;
        code_.push_back(std::move(in));
        return true;
      }
      case Node::Kind::kAssert: {
        RegexInstruction in;
        in.op = Op::kAssert;
        in.assertion = node.assertion;
        code_.push_back(std::move(in));
        return true;
      }
      case Node::Kind::kConcat:
        return std::all_of(node.children.begin(), node.children.end(),
                           [this](const NodePtr& child) { return Emit(*child); });
      case Node::Kind::kAlternate:
        return Alternate(node);
      case Node::Kind::kRepeat:
        return Repeat(node);
    }
    return false;
  }

  std::vector<RegexInstruction> Finish() {
    Add(Op::kMatch);
    return std::move(code_);
  }

 private:
  size_t Add(Op op) {
    code_.emplace_back();
    code_.back().op = op;
    return code_.size() - 1;
  }

  bool Alternate(const Node& node) {
    std::vector<size_t> jumps;
    for (size_t i = 0; i < node.children.size(); ++i) {
      const bool last = i + 1 == node.children.size();
      const size_t split = last ? 0 : Add(Op::kSplit);
      if (!last) code_[split].x = code_.size();
      if (!Emit(*node.children[i])) return false;
      if (!last) {
        jumps.push_back(Add(Op::kJump));
        code_[split].y = code_.size();
      }
    }
    for (const size_t jump : jumps) code_[jump].x = code_.size();
    return true;
  }

  void SetSplit(size_t split, size_t inside, size_t outside, bool lazy) {
    code_[split].x = lazy ? outside : inside;
    code_[split].y = lazy ? inside : outside;
  }

  bool Repeat(const Node& node) {
    const Node& child = *node.children.front();
    for (int i = 0; i < node.min; ++i) {
      const size_t before = code_.size();
      if (!Emit(child)) return false;
      if (code_.size() == before) break;  // the empty text as often as one likes: ((){1000}){1000}
    }
    if (node.max < 0) {
      const size_t split = Add(Op::kSplit);
      if (!Emit(child)) return false;
      code_[Add(Op::kJump)].x = split;
      SetSplit(split, split + 1, code_.size(), node.lazy);
      return true;
    }
    std::vector<size_t> splits;
    for (int i = node.min; i < node.max; ++i) {
      splits.push_back(Add(Op::kSplit));
      if (!Emit(child)) return false;
    }
    for (const size_t split : splits) SetSplit(split, split + 1, code_.size(), node.lazy);
    return true;
  }

  std::vector<RegexInstruction> code_;
};

}  // namespace

Result<Regex> Regex::Compile(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return InvalidArgument("the regular expression has more than 8192 bytes");
  }
  ENVICUTOR_ASSIGN(const NodePtr tree, regex::ParsePattern(pattern));
  Emitter emitter;
  if (!emitter.Emit(*tree)) return InvalidArgument("error parsing regexp: expression too large");
  auto program = std::make_shared<RegexProgram>();
  program->code = emitter.Finish();
  Regex regex;
  regex.program_ = std::move(program);
  return regex;
}

size_t Regex::size() const { return program_->code.size(); }

}  // namespace envicutor::standalone::schema
