// Internal to the client: Transport::kCpprest.
#pragma once

#include <memory>

#include "common/http/client.h"

namespace envicutor::http {

[[nodiscard]] Result<std::unique_ptr<Client>> NewCpprestClient(const ClientOptions& options);

}  // namespace envicutor::http
