// What is read from the text of a stored object without parsing it, against its tree.
#include "standalone/apiserver/core/object.h"
#include "tests/fuzz/target.h"

namespace standalone = envicutor::standalone;
using envicutor::At;
using envicutor::Json;

FUZZ_TARGET(fuzz_outline) {
  (void)standalone::OutlineOf(data);  // whatever it is
  auto parsed = envicutor::ParseJson(data, 200);
  if (!parsed.ok() || !parsed->is_object()) return;
  Json tree = *std::move(parsed);
  if (tree.contains("metadata") && !tree["metadata"].is_object()) return;
  const standalone::ObjectPtr object = standalone::MakeObject(tree, 7);
  tree["metadata"]["resourceVersion"] = "7";
  const std::string text = envicutor::DumpJson(tree);
  if (envicutor::ParseJson(text, 512).value() != tree)
    return;  // ill-formed UTF-8: not taken from anybody
  CHECK(object->Text() == text, text);
  CHECK(object->Name() == standalone::NameOf(tree), text);
  CHECK(object->Namespace() == standalone::NamespaceOf(tree), text);
  CHECK(object->HasFinalizers() == standalone::HasFinalizers(tree), text);
  if (const Json& labels = At(tree, {"metadata", "labels"}); labels.is_object()) {
    CHECK(object->Labels() == labels, text);
  }
  object->DropTree();
  const standalone::JsonRef dropped = object->Tree();
  CHECK(*dropped == tree, text);
  const auto again = standalone::ReadObject(text, 7);
  CHECK(again.ok() && (*again)->Text() == text, text);
}
