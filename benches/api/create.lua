-- wrk: creates ConfigMaps of about 1 KiB under unique names. The bearer token and a word that makes
-- the names of this run unique come from the environment.
local threads = 0

function setup(thread)
   thread:set("id", threads)
   threads = threads + 1
end

function init(args)
   run = os.getenv("KABUKI_BENCH_RUN") or "0"
   count = 0
   filler = string.rep("x", 900)
   headers = {
      ["Authorization"] = "Bearer " .. os.getenv("KABUKI_BENCH_TOKEN"),
      ["Content-Type"] = "application/json",
      ["User-Agent"] = "wrk",
   }
end

function request()
   count = count + 1
   local body = string.format(
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m-%s-%d-%d"},"data":{"k":"%s"}}',
      run, id, count, filler)
   return wrk.format("POST", "/api/v1/namespaces/default/configmaps", headers, body)
end
