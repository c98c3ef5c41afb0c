#include "operator/fenced_client.h"

#include <utility>

#include "common/kube/pager.h"

namespace envicutor::op {
namespace {

class FencedClient final : public kube::Client, public kube::Pager {
 public:
  FencedClient(kube::Client& client, std::function<bool()> held)
      : client_(client), pager_(dynamic_cast<kube::Pager*>(&client)), held_(std::move(held)) {}

  Result<Json> Get(const kube::ResourceType& type, const std::string& ns,
                   const std::string& name) override {
    return client_.Get(type, ns, name);
  }
  Result<kube::List> ListAll(const kube::ResourceType& type, const std::string& ns,
                             const kube::ListOptions& options) override {
    return client_.ListAll(type, ns, options);
  }
  Result<kube::Page> ListPage(const kube::ResourceType& type, const std::string& ns,
                              const kube::ListOptions& options, const std::string& next) override {
    if (pager_ != nullptr) return pager_->ListPage(type, ns, options, next);
    ENVICUTOR_ASSIGN(kube::List list, client_.ListAll(type, ns, options));
    return kube::Page{std::move(list), ""};
  }
  Status Watch(const kube::ResourceType& type, const std::string& ns,
               const kube::WatchOptions& options,
               const std::function<bool(kube::WatchEvent)>& on_event,
               std::stop_token stop) override {
    return client_.Watch(type, ns, options, on_event, std::move(stop));
  }
  Result<std::string> GetRaw(const std::string& target) override { return client_.GetRaw(target); }

  Result<Json> Create(const kube::ResourceType& type, const std::string& ns,
                      const Json& object) override {
    ENVICUTOR_RETURN_IF_ERROR(MayWrite());
    return client_.Create(type, ns, object);
  }
  Result<Json> Update(const kube::ResourceType& type, const Json& object,
                      const std::string& subresource) override {
    ENVICUTOR_RETURN_IF_ERROR(MayWrite());
    return client_.Update(type, object, subresource);
  }
  Result<std::string> CreateForVersion(const kube::ResourceType& type, const std::string& ns,
                                       const Json& object) override {
    ENVICUTOR_RETURN_IF_ERROR(MayWrite());
    return client_.CreateForVersion(type, ns, object);
  }
  Result<std::string> UpdateForVersion(const kube::ResourceType& type, const Json& object,
                                       const std::string& subresource) override {
    ENVICUTOR_RETURN_IF_ERROR(MayWrite());
    return client_.UpdateForVersion(type, object, subresource);
  }
  Result<Json> Patch(const kube::ResourceType& type, const std::string& ns, const std::string& name,
                     kube::PatchType patch_type, const Json& patch,
                     const std::string& subresource) override {
    ENVICUTOR_RETURN_IF_ERROR(MayWrite());
    return client_.Patch(type, ns, name, patch_type, patch, subresource);
  }
  Status Delete(const kube::ResourceType& type, const std::string& ns, const std::string& name,
                const DeleteOptions& options) override {
    ENVICUTOR_RETURN_IF_ERROR(MayWrite());
    return client_.Delete(type, ns, name, options);
  }

 private:
  [[nodiscard]] Status MayWrite() const {
    if (held_()) return OkStatus();
    return FailedPrecondition("not written: the lease is not held any more");
  }

  kube::Client& client_;
  kube::Pager* const pager_;
  const std::function<bool()> held_;
};

}  // namespace

std::unique_ptr<kube::Client> NewFencedClient(kube::Client& client, std::function<bool()> held) {
  return std::make_unique<FencedClient>(client, std::move(held));
}

}  // namespace envicutor::op
