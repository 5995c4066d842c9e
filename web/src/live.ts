/**
 * Two windows in step. The only module that knows how news of a learner's progress comes: by Realtime
 * where the project has it, and always by BroadcastChannel between the windows of one browser, and by
 * looking again when a window gets the focus. The news carry no data: who hears them reads afresh,
 * under the reader's own rights.
 */
import type { RealtimeChannel, SupabaseClient } from '@supabase/supabase-js'

export class Live {
  isConnected = false
  private readonly windows = new BroadcastChannel('waymark')
  private channel: RealtimeChannel | null = null
  private userId: string | null = null

  constructor(
    private readonly supabase: SupabaseClient,
    private readonly hasRealtime: boolean,
    private readonly onNews: () => void,
  ) {
    this.windows.onmessage = ({ data }) => {
      if (data === this.userId) onNews()
    }
    addEventListener('focus', onNews)
  }

  /** Follow this learner, or nobody. */
  follow(userId: string | null): void {
    if (userId === this.userId) return
    this.userId = userId
    this.isConnected = false
    if (this.channel) void this.supabase.removeChannel(this.channel)
    this.channel = userId && this.hasRealtime ? this.subscribe(userId) : null
  }

  /** Tell the other windows of this browser that something of this learner changed. */
  tell(): void {
    if (this.userId) this.windows.postMessage(this.userId)
  }

  private subscribe(userId: string): RealtimeChannel {
    // Every change of progress changes the enrolment's row. For broadcast from the database instead,
    // this one call is what changes.
    const filter = `user_id=eq.${userId}`
    return this.supabase
      .channel(`progress:${userId}`)
      .on(
        'postgres_changes',
        { event: '*', schema: 'public', table: 'enrollments', filter },
        this.onNews,
      )
      .subscribe((status) => {
        this.isConnected = status === 'SUBSCRIBED'
      })
  }
}
