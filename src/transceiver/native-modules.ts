/**
 * Keeps the native modules that shards use loaded for the life of the process. Node unloads a module with the last
 * thread that had loaded it, but theirs leave destructors of thread-local data behind, and a thread that ends after
 * that jumps into memory that is gone. A module that the main thread holds is never unloaded.
 */
export async function pinNativeModules(): Promise<void> {
  // One that is missing here has its fallback there: whoever needs it says so.
  await Promise.allSettled([import('koffi'), import('@evan/opus')]);
}
