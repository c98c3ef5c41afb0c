// The spawner's program as bytes in this one.
#include "executor-agent/sandbox/native/spawner_image.h"

asm(R"(
  .pushsection .rodata
  .balign 16
envicutor_spawner_begin:
  .incbin ")" ENVICUTOR_SPAWNER_PATH R"("
envicutor_spawner_end:
  .popsection
)");

extern "C" {
extern const char envicutor_spawner_begin[];
extern const char envicutor_spawner_end[];
}

namespace envicutor::agent::native {

std::string_view SpawnerImage() {
  return {envicutor_spawner_begin,
          static_cast<size_t>(envicutor_spawner_end - envicutor_spawner_begin)};
}

}  // namespace envicutor::agent::native
